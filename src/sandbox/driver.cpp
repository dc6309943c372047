#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/env.h"
#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

constexpr unsigned graphics_devices = 226;  // major number of DRM
constexpr unsigned first_render_node = 128;
constexpr std::size_t most_render_nodes = 8;
constexpr auto highest_descriptor = 1024;

std::size_t entries_of(char const* folder)
{
    auto code = std::error_code{};
    auto const entries = std::filesystem::directory_iterator(folder, code);
    return code ? 0 : static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

bool is_known(int descriptor, Surroundings const& surroundings)
{
    struct stat status = {};
    auto const files = surroundings.files();
    return descriptor <= Processes::channel_descriptor || std::ranges::find(files, descriptor) != files.end() ||
           ::fstat(descriptor, &status) != 0 || is_render_node(status);
}

}  // namespace

bool has(Doors const& doors, Door door)
{
    return std::ranges::find(doors, door) != doors.end();
}

bool is_render_node(struct stat const& status)
{
    return S_ISCHR(status.st_mode) && ::major(status.st_rdev) == graphics_devices &&
           ::minor(status.st_rdev) >= first_render_node;
}

std::vector<std::string> render_nodes()
{
    auto nodes = std::vector<std::string>{};
    auto code = std::error_code{};
    for (auto const& entry : std::filesystem::directory_iterator(render_folder, code)) {
        struct stat status = {};
        if (::lstat(entry.path().c_str(), &status) == 0 && is_render_node(status)) {
            nodes.push_back(entry.path());
        }
    }
    std::ranges::sort(nodes);
    nodes.resize(std::min(nodes.size(), most_render_nodes));
    return nodes;
}

Result<void> check_driver(Surroundings const& surroundings)
{
    if (auto const threads = entries_of("/proc/self/task"); threads != 1) {
        return fail(ErrorKind::not_allowed, "the driver of the GPU leaves {} threads outside of the walls", threads);
    }
    for (auto descriptor = 0; descriptor < highest_descriptor; ++descriptor) {
        if (!is_known(descriptor, surroundings)) {
            return fail(ErrorKind::not_allowed, "the driver of the GPU leaves the descriptor {} open", descriptor);
        }
    }
    return {};
}

}  // namespace plexus::sandbox
