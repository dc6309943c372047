#include "node/platform.h"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/real_disk.h"

namespace plexus::node {

Result<InstanceLock> InstanceLock::take(std::filesystem::path const& file)
{
    auto const descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        return std::unexpected(system_error("open", file, errno));
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        ::close(descriptor);
        return fail(ErrorKind::conflict, "another daemon holds {}", file.string());
    }
    return InstanceLock(descriptor);
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

InstanceLock::~InstanceLock()
{
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void notify_service_manager(std::string const& message)
{
    auto const* path = std::getenv("NOTIFY_SOCKET");
    auto address = sockaddr_un{};
    if (path == nullptr || *path == '\0' || std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    auto const length = offsetof(sockaddr_un, sun_path) + std::strlen(path);
    if (address.sun_path[0] == '@') {
        address.sun_path[0] = '\0';  // an abstract name
    }
    auto const descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return;
    }
    ::sendto(descriptor, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr const*>(&address),
             static_cast<socklen_t>(length));
    ::close(descriptor);
}

std::string host_name()
{
    auto name = std::array<char, 256>{};
    ::gethostname(name.data(), name.size() - 1);
    auto const whole = std::string_view(name.data());
    auto const first = std::string(whole.substr(0, whole.find('.')));
    return first.empty() ? "device" : first;
}

unsigned core_count()
{
    return std::max(std::thread::hardware_concurrency(), 1U);
}

std::filesystem::path program_folder()
{
    auto code = std::error_code{};
    return std::filesystem::read_symlink("/proc/self/exe", code).parent_path();
}

void raise_descriptor_limit()
{
    auto limit = rlimit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void trim_memory()
{
    ::malloc_trim(0);
}

}  // namespace plexus::node
