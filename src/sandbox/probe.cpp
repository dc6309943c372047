#include <csignal>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "base/env.h"
#include "sandbox/confine.h"

namespace plexus::sandbox {

namespace {

constexpr auto highest_descriptor = 1024;

/// An attempt that must fail; true means that the wall is open.
struct Attempt {
    Layer layer;
    std::string what;
    std::function<bool()> succeeds;
};

bool reads(char const* path)
{
    auto const descriptor = ::open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        ::close(descriptor);
    }
    return descriptor >= 0;
}

/// The kernel looked at the call. That it failed for another reason than the filter's proves nothing of the filter.
bool passes(long result)
{
    return result >= 0 || errno != EPERM;
}

bool makes_socket(int family, int type)
{
    auto const descriptor = ::socket(family, type | SOCK_CLOEXEC, 0);
    auto const passed = passes(descriptor);
    if (descriptor >= 0) {
        ::close(descriptor);
    }
    return passed;
}

bool creates(char const* path)
{
    auto const descriptor = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    auto const passed = passes(descriptor);
    if (descriptor >= 0) {
        ::close(descriptor);
        ::unlink(path);
    }
    return passed;
}

bool forks()
{
    auto const child = ::fork();
    auto const passed = passes(child);
    if (child == 0) {
        ::_exit(0);
    }
    if (child > 0) {
        ::waitpid(child, nullptr, 0);
    }
    return passed;
}

bool executes()
{
    // Replaces this process by a shell that ends at once if nothing forbids it.
    char shell[] = "/bin/sh";
    char flag[] = "-c";
    char command[] = "exit 97";
    char* arguments[] = {shell, flag, command, nullptr};
    char* environment[] = {nullptr};
    return passes(::execve(shell, arguments, environment));
}

bool has_foreign_descriptors(int model_descriptor)
{
    for (auto descriptor = Processes::channel_descriptor + 1; descriptor < highest_descriptor; ++descriptor) {
        if (descriptor != model_descriptor && ::fcntl(descriptor, F_GETFD) >= 0) {
            return true;
        }
    }
    return false;
}

bool reads_foreign_memory()
{
    auto buffer = std::array<char, 8>{};
    auto const own = iovec{buffer.data(), buffer.size()};
    auto const other = iovec{buffer.data(), buffer.size()};
    return passes(::process_vm_readv(::getppid(), &own, 1, &other, 1, 0));
}

bool limit_is(__rlimit_resource resource, rlim_t expected)
{
    auto limit = rlimit{};
    return ::getrlimit(resource, &limit) == 0 && limit.rlim_cur == expected && limit.rlim_max == expected;
}

std::vector<Attempt> file_attempts(Surroundings const& surroundings)
{
    auto attempts = std::vector<Attempt>{};
    auto paths = surroundings.forbidden_paths;
    for (auto const* path : {"/etc/shadow", "/etc/passwd", "/etc/hostname", "/proc/1/environ", "/proc/self/environ",
                             "/proc/self/maps", "/proc/self/mem", "/dev/null", "/dev/zero", "/", "/tmp", "/root", "/home"}) {
        paths.emplace_back(path);
    }
    for (auto const& path : paths) {
        attempts.push_back({Layer::landlock, "read " + path, [path] { return reads(path.c_str()); }});
    }
    for (auto const* path : {"/tmp/plexus-probe", "/dev/shm/plexus-probe", "/var/tmp/plexus-probe"}) {
        attempts.push_back({Layer::seccomp, std::string("write ") + path, [path] { return creates(path); }});
    }
    return attempts;
}

std::vector<Attempt> socket_attempts()
{
    auto attempts = std::vector<Attempt>{};
    for (auto const& [family, name] : {std::pair(AF_INET, "IPv4"), std::pair(AF_INET6, "IPv6"),
                                       std::pair(AF_UNIX, "Unix"), std::pair(AF_NETLINK, "netlink"),
                                       std::pair(AF_PACKET, "packet"), std::pair(AF_VSOCK, "vsock")}) {
        for (auto const type : std::array<int, 3>{SOCK_STREAM, SOCK_DGRAM, SOCK_RAW}) {
            attempts.push_back({Layer::seccomp, fmt::format("make a {} socket of type {}", name, type),
                                [family, type] { return makes_socket(family, type); }});
        }
    }
    attempts.push_back({Layer::seccomp, "connect", [] { return passes(::connect(3, nullptr, 0)); }});
    attempts.push_back({Layer::seccomp, "bind", [] { return passes(::bind(3, nullptr, 0)); }});
    return attempts;
}

std::vector<Attempt> call_attempts()
{
    return {
        {Layer::seccomp, "fork", forks},
        {Layer::seccomp, "execute a shell", executes},
        {Layer::seccomp, "trace the daemon",
         [] { return passes(::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr)); }},
        {Layer::seccomp, "be traced", [] { return passes(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
        {Layer::seccomp, "signal the daemon", [] { return passes(::kill(::getppid(), 0)); }},
        {Layer::seccomp, "signal everyone", [] { return passes(::kill(-1, 0)); }},
        {Layer::seccomp, "read the daemon's memory", reads_foreign_memory},
        {Layer::seccomp, "make a user namespace", [] { return passes(::syscall(SYS_unshare, CLONE_NEWUSER)); }},
        {Layer::seccomp, "enter a namespace", [] { return passes(::syscall(SYS_setns, 3, 0)); }},
        {Layer::seccomp, "set up io_uring",
         [] {
             auto parameters = io_uring_params{};
             return passes(::syscall(SYS_io_uring_setup, 1, &parameters));
         }},
        {Layer::seccomp, "load a BPF program", [] { return passes(::syscall(SYS_bpf, 0, nullptr, 0)); }},
        {Layer::seccomp, "use key rings", [] { return passes(::syscall(SYS_keyctl, 0, -3, 0)); }},
        {Layer::seccomp, "add a key", [] { return passes(::syscall(SYS_add_key, "user", "p", "x", 1, -3)); }},
        {Layer::seccomp, "mount", [] { return passes(::mount("none", "/", "tmpfs", 0, nullptr)); }},
        {Layer::seccomp, "change the root", [] { return passes(::chroot("/")); }},
        {Layer::seccomp, "pivot the root", [] { return passes(::syscall(SYS_pivot_root, "/", "/")); }},
        {Layer::seccomp, "watch page faults", [] { return passes(::syscall(SYS_userfaultfd, 0)); }},
        {Layer::seccomp, "open performance events",
         [] {
             auto attributes = perf_event_attr{};
             return passes(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
         }},
        {Layer::seccomp, "open a process descriptor", [] { return passes(::syscall(SYS_pidfd_open, ::getpid(), 0)); }},
        {Layer::seccomp, "change its user", [] { return passes(::setuid(1)); }},
        {Layer::seccomp, "change its groups", [] { return passes(::setgid(1)); }},
        {Layer::seccomp, "raise its limits",
         [] {
             auto const limit = rlimit{RLIM_INFINITY, RLIM_INFINITY};
             return passes(::setrlimit(RLIMIT_NOFILE, &limit));
         }},
        {Layer::seccomp, "make a memory file", [] { return passes(::syscall(SYS_memfd_create, "p", 0)); }},
        {Layer::seccomp, "link files", [] { return passes(::link("/etc/passwd", "/tmp/plexus-probe")); }},
        {Layer::seccomp, "make a symbolic link", [] { return passes(::symlink("/etc/passwd", "/tmp/plexus-probe")); }},
        {Layer::seccomp, "remove files", [] { return passes(::unlink("/tmp/plexus-probe")); }},
        {Layer::seccomp, "make folders", [] { return passes(::mkdir("/tmp/plexus-probe", 0700)); }},
        {Layer::seccomp, "read links",
         [] {
             auto buffer = std::array<char, 16>{};
             return passes(::readlink("/proc/self/exe", buffer.data(), buffer.size()));
         }},
        {Layer::seccomp, "send descriptors", [] { return passes(::sendmsg(3, nullptr, 0)); }},
        {Layer::seccomp, "load a kernel module", [] { return passes(::syscall(SYS_init_module, nullptr, 0, "")); }},
    };
}

std::vector<Attempt> state_attempts(Surroundings const& surroundings)
{
    auto const model = surroundings.model_descriptor;
    auto const memory = surroundings.memory_limit_bytes;
    return {
        {Layer::descriptors, "use a foreign descriptor", [model] { return has_foreign_descriptors(model); }},
        {Layer::no_new_privileges, "gain privileges", [] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1; }},
        {Layer::parent_death, "outlive the daemon",
         [] {
             auto signal = 0;
             return ::prctl(PR_GET_PDEATHSIG, &signal) != 0 || signal != SIGKILL;
         }},
        {Layer::limits, "dump core", [] { return !limit_is(RLIMIT_CORE, 0); }},
        {Layer::limits, "grow a file", [] { return !limit_is(RLIMIT_FSIZE, 0); }},
        {Layer::limits, "open many files", [] { return !limit_is(RLIMIT_NOFILE, 64); }},
        {Layer::limits, "take memory without end", [memory] { return memory != 0 && !limit_is(RLIMIT_DATA, memory); }},
        {Layer::seccomp, "call the kernel unfiltered",
         [] { return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER; }},
        {Layer::seccomp, "be dumped", [] { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0; }},
    };
}

std::vector<Attempt> all_attempts(Surroundings const& surroundings)
{
    auto attempts = state_attempts(surroundings);
    for (auto const& more : {file_attempts(surroundings), socket_attempts(), call_attempts()}) {
        attempts.insert(attempts.end(), more.begin(), more.end());
    }
    return attempts;
}

}  // namespace

Result<void> probe(Surroundings const& surroundings)
{
    auto open = std::map<Layer, std::string>{};
    for (auto const& attempt : all_attempts(surroundings)) {
        if (attempt.succeeds()) {
            auto& found = open[attempt.layer];
            found += (found.empty() ? "" : ", ") + attempt.what;
        }
    }
    auto text = std::string{};
    for (auto const& [layer, found] : open) {
        text += fmt::format("{}the wall \"{}\" is open: the engine could {}", text.empty() ? "" : "; ",
                            to_string(layer), found);
    }
    return text.empty() ? Result<void>{} : fail(ErrorKind::not_allowed, "{}", text);
}

Result<void> check_namespaces(Surroundings const& surroundings)
{
    for (auto const name : namespace_names) {
        auto const outside = surroundings.parent_namespaces.find(std::string(name));
        struct stat status = {};
        if (outside == surroundings.parent_namespaces.end() ||
            ::stat(fmt::format("/proc/self/ns/{}", name).c_str(), &status) != 0 || status.st_ino == outside->second) {
            return fail(ErrorKind::not_allowed,
                        "the wall \"namespaces\" is open: the engine could use the daemon's {} "
                        "namespace",
                        name);
        }
    }
    return {};
}

}  // namespace plexus::sandbox
