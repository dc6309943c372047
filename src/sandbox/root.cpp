#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "sandbox/descriptor.h"
#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

constexpr auto user_inside = 1000;  // any but 0, which would get capabilities back
constexpr auto longest_path = 4096;
constexpr auto folder_mode = 0700;
constexpr std::uint64_t harmless = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr std::uint64_t harmless_device = harmless & ~std::uint64_t{MOUNT_ATTR_NODEV};

std::unexpected<Error> system_refused(std::string_view what)
{
    return fail(ErrorKind::not_allowed, "{}: {}", what, std::strerror(errno));
}

bool write_text(char const* path, std::string_view text)
{
    auto const file = Descriptor(::open(path, O_WRONLY | O_CLOEXEC));
    return file.get() >= 0 && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Files can only be made by a user that the namespace knows: this one, and no other.
Result<void> map_user(uid_t user, gid_t group)
{
    if (!write_text("/proc/self/setgroups", "deny") ||
        !write_text("/proc/self/uid_map", fmt::format("{} {} 1", user_inside, user)) ||
        !write_text("/proc/self/gid_map", fmt::format("{} {} 1", user_inside, group))) {
        return system_refused("map the user");
    }
    return {};
}

bool set_attributes(int mount, std::uint64_t wanted)
{
    auto attributes = mount_attr{.attr_set = wanted, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
    return ::mount_setattr(mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
}

std::string path_of(int descriptor)
{
    auto target = std::array<char, longest_path>{};
    auto const count = ::readlink(fmt::format("/proc/self/fd/{}", descriptor).c_str(), target.data(), target.size());
    return {target.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

/// A mount of the one file that `descriptor` has open, read-only, at no place yet.
Result<Descriptor> mount_of_file(int descriptor)
{
    struct stat open = {};
    struct stat found = {};
    auto file = Descriptor(
        ::open_tree(AT_FDCWD, path_of(descriptor).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
    if (file.get() < 0) {
        return system_refused("mount the model");
    }
    // The name may have come to mean another file.
    if (::fstat(descriptor, &open) != 0 || ::fstat(file.get(), &found) != 0 || open.st_dev != found.st_dev ||
        open.st_ino != found.st_ino) {
        return fail(ErrorKind::not_allowed, "mount the model: its file is no longer where it was");
    }
    if (!set_attributes(file.get(), harmless)) {
        return system_refused("mount the model read-only");
    }
    return file;
}

struct Node {
    std::string path;
    Descriptor mount;
};

/// Mounts of the render nodes, at no place yet.
Result<std::vector<Node>> mounts_of_nodes()
{
    auto nodes = std::vector<Node>{};
    for (auto& path : render_nodes()) {
        auto mount = Descriptor(
            ::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
        if (mount.get() < 0 || !set_attributes(mount.get(), harmless_device)) {
            return system_refused("mount a render node");
        }
        nodes.push_back({std::move(path), std::move(mount)});
    }
    return nodes;
}

Result<Descriptor> empty_file_system()
{
    auto const system = Descriptor(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (system.get() < 0 || ::fsconfig(system.get(), FSCONFIG_SET_STRING, "size", "64k", 0) != 0 ||
        ::fsconfig(system.get(), FSCONFIG_SET_STRING, "nr_inodes", "32", 0) != 0 ||
        ::fsconfig(system.get(), FSCONFIG_SET_STRING, "mode", "0700", 0) != 0 ||
        ::fsconfig(system.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        return system_refused("make an empty file system");
    }
    auto mount = Descriptor(::fsmount(system.get(), FSMOUNT_CLOEXEC, harmless & ~MOUNT_ATTR_RDONLY));
    if (mount.get() < 0) {
        return system_refused("mount an empty file system");
    }
    return mount;
}

Result<void> make_folders(int root, std::initializer_list<char const*> folders)
{
    for (auto const* folder : folders) {
        if (::mkdirat(root, folder, folder_mode) != 0) {
            return system_refused("make a folder");
        }
    }
    return {};
}

/// Puts the mount of a file to the place that `name` says, below the root.
Result<void> place(int root, int mount, std::string const& name)
{
    auto const file = Descriptor(::openat(root, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, folder_mode));
    if (file.get() < 0 || ::move_mount(mount, "", root, name.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        return system_refused("place " + name);
    }
    return {};
}

/// Makes /proc/self/fd/N, a plain file by that name, where a loader that was given the descriptor looks for it.
Result<void> place_model(int root, int model, int descriptor)
{
    return place(root, model, fmt::format("proc/self/fd/{}", descriptor));
}

/// Each where it was.
Result<void> place_nodes(int root, std::vector<Node> const& nodes)
{
    auto placed = make_folders(root, {"dev", "dev/dri"});
    for (auto const& node : nodes) {
        if (placed) {
            placed = place(root, node.mount.get(), node.path.substr(1));
        }
    }
    return placed;
}

/// Makes `root` the root folder and lets go of all that was there before.
Result<void> enter(int root)
{
    if (::fchdir(root) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 ||
        ::chdir("/") != 0) {
        return system_refused("change the root");
    }
    if (!set_attributes(root, harmless)) {
        return system_refused("make the root read-only");
    }
    return {};
}

}  // namespace

Result<void> empty_root(Surroundings const& surroundings, Doors const& doors)
{
    auto const outer = surroundings.outer_namespaces.find("mnt");
    auto const own = namespace_inode("mnt");
    if (outer == surroundings.outer_namespaces.end() || own == 0 || own == outer->second) {
        return fail(ErrorKind::not_allowed, "it needs a mount namespace of its own");
    }
    // Without a user namespace the daemon is root, and needs no mapping.
    auto const outer_user = surroundings.outer_namespaces.find("user");
    if (outer_user != surroundings.outer_namespaces.end() && namespace_inode("user") != outer_user->second) {
        if (auto mapped = map_user(surroundings.user, surroundings.user_group); !mapped) {
            return mapped;
        }
    }
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return system_refused("keep mounts to itself");
    }
    auto const descriptors = surroundings.files();
    auto files = std::vector<Descriptor>{};
    for (auto const descriptor : descriptors) {
        auto file = mount_of_file(descriptor);
        if (!file) {
            return std::unexpected(file.error());
        }
        files.push_back(std::move(*file));
    }
    auto nodes = has(doors, Door::render_nodes) ? mounts_of_nodes() : Result<std::vector<Node>>(std::vector<Node>{});
    if (!nodes) {
        return std::unexpected(nodes.error());
    }
    auto root = empty_file_system();
    if (!root) {
        return std::unexpected(root.error());
    }
    if (::move_mount(root->get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        return system_refused("place the root");
    }
    auto placed = files.empty() ? Result<void>{} : make_folders(root->get(), {"proc", "proc/self", "proc/self/fd"});
    for (std::size_t index = 0; placed && index < files.size(); ++index) {
        placed = place_model(root->get(), files[index].get(), descriptors[index]);
    }
    if (placed && !nodes->empty()) {
        placed = place_nodes(root->get(), *nodes);
    }
    return placed ? enter(root->get()) : placed;
}

}  // namespace plexus::sandbox
