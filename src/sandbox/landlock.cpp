#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sandbox/descriptor.h"
#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

// Older headers lack what newer kernels have; the kernel is asked which it knows.
constexpr std::uint64_t filesystem_v1 = (1ULL << 13) - 1;
constexpr std::uint64_t refer = 1ULL << 13;
constexpr std::uint64_t truncate = 1ULL << 14;
constexpr std::uint64_t device_ioctl = 1ULL << 15;
constexpr std::uint64_t write_file = 1ULL << 1;
constexpr std::uint64_t read_file = 1ULL << 2;
constexpr std::uint64_t tcp = 3;     // bind, connect
constexpr std::uint64_t scopes = 3;  // abstract sockets, signals

struct RulesetAttributes {
    std::uint64_t filesystem = 0;
    std::uint64_t network = 0;
    std::uint64_t scoped = 0;
};

struct __attribute__((packed)) PathRule {
    std::uint64_t allowed;
    std::int32_t parent;
};

RulesetAttributes all_rights(long version)
{
    auto attributes = RulesetAttributes{.filesystem = filesystem_v1};
    attributes.filesystem |= version >= 2 ? refer : 0;
    attributes.filesystem |= version >= 3 ? truncate : 0;
    attributes.filesystem |= version >= 5 ? device_ioctl : 0;
    attributes.network = version >= 4 ? tcp : 0;
    attributes.scoped = version >= 6 ? scopes : 0;
    return attributes;
}

bool allow(Descriptor const& ruleset, int file, std::uint64_t rights)
{
    auto const rule = PathRule{.allowed = rights, .parent = file};
    return ::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

bool allow_render_nodes(Descriptor const& ruleset, long version)
{
    auto const rights = read_file | write_file | (version >= 5 ? device_ioctl : 0);
    return std::ranges::all_of(render_nodes(), [&](std::string const& path) {
        auto const node = Descriptor(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        return node.get() >= 0 && allow(ruleset, node.get(), rights);
    });
}

}  // namespace

long landlock_version()
{
    return std::max(0L, ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

Result<void> raise_landlock(Surroundings const& surroundings, Doors const& doors)
{
    auto const version = landlock_version();
    if (version == 0) {
        return fail(ErrorKind::not_allowed, "this kernel does not have it");
    }
    auto const attributes = all_rights(version);
    auto const size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    auto const ruleset = Descriptor(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
    auto good = ruleset.get() >= 0;
    for (auto const file : surroundings.files()) {
        good = good && allow(ruleset, file, read_file);
    }
    if (has(doors, Door::render_nodes)) {
        good = good && allow_render_nodes(ruleset, version);
    }
    good = good && ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0;
    return good ? Result<void>{} : fail(ErrorKind::not_allowed, "{}", std::strerror(errno));
}

}  // namespace plexus::sandbox
