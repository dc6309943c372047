#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/confine.h"

namespace plexus::sandbox {

/// The inner walls; each raises one around this process, with the doors that a GPU needs. Errors: `not_allowed`, with what
/// the system said.
using Doors = std::vector<Door>;

/// Needs the mount namespace and CAP_SYS_ADMIN in it. The model lies where its descriptor was: /proc/self/fd/N.
Result<void> empty_root(Surroundings const& surroundings, Doors const& doors);
Result<void> drop_capabilities(Surroundings const& surroundings, Doors const& doors);
Result<void> forbid_dumps(Surroundings const& surroundings, Doors const& doors);
Result<void> raise_landlock(Surroundings const& surroundings, Doors const& doors);
Result<void> raise_seccomp(Surroundings const& surroundings, Doors const& doors);

inline constexpr auto render_folder = "/dev/dri";
/// Paths of the render nodes in the root of this moment, at most 8. Spec: Linux, DRM memory management, render nodes.
std::vector<std::string> render_nodes();
bool is_render_node(struct stat const& status);
/// Errors: `not_allowed`, if loading a driver left threads or other descriptors behind.
Result<void> check_driver(Surroundings const& surroundings);
bool has(Doors const& doors, Door door);

/// 0: this kernel has none.
long landlock_version();
/// Inode of a namespace of this process; 0 if it cannot be seen.
std::uint64_t namespace_inode(std::string_view name);

/// An attempt that must fail once the wall stands; true means that the wall is open.
struct Attempt {
    std::string what;
    std::function<bool()> succeeds;
};

/// What must fail as soon as `layer` has been raised, and all before it.
std::vector<Attempt> attempts_at(Layer layer, Surroundings const& surroundings, Doors const& doors);

}  // namespace plexus::sandbox
