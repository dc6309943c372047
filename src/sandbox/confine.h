#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/layers.h"

namespace plexus::sandbox {

/// What the confined program knows of its surroundings, from the launcher's arguments.
struct Surroundings {
    std::map<std::string, std::uint64_t> parent_namespaces;  ///< inode by name
    std::vector<std::string> forbidden_paths;
    int model_descriptor = -1;             ///< the only file that stays readable
    std::uint64_t memory_limit_bytes = 0;  ///< 0: none
    std::optional<Layer> left_out;  ///< for tests
};

/// The process must share no namespace of namespace_names with the daemon. Looks into /proc, so it comes before
/// `confine`. Errors: `not_allowed`.
Result<void> check_namespaces(Surroundings const& surroundings);

/// Raises the inner walls around this process, for good: not dumpable, Landlock, seccomp.
/// Errors: `not_allowed` with the wall that could not be raised.
Result<void> confine(Surroundings const& surroundings);

/// After the model is open: takes away the right to open files at all, and proves it.
Result<void> seal();

/// Tries what the walls must forbid. Errors: `not_allowed` with every wall found open, and all that could be done
/// through it. Call after `confine`.
Result<void> probe(Surroundings const& surroundings);

}  // namespace plexus::sandbox
