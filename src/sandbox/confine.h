#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/layers.h"

namespace plexus::sandbox {

/// What the confined program knows of its surroundings, from the launcher's arguments.
struct Surroundings {
    std::uint64_t parent_network_namespace = 0;
    std::vector<std::string> forbidden_paths;
    int model_descriptor = -1;  ///< the only file that stays readable
    std::optional<Layer> left_out;  ///< for tests
};

/// The process must be in a network namespace of its own. Looks into /proc, so it comes before `confine`.
Result<void> check_namespaces(Surroundings const& surroundings);

/// Raises the inner walls around this process, for good: not dumpable, Landlock, seccomp.
/// Errors: `not_allowed` with the wall that could not be raised.
Result<void> confine(Surroundings const& surroundings);

/// After the model is open: takes away the right to open files at all.
Result<void> seal();

/// Tries what the walls must forbid. Errors: `not_allowed` with the first wall found open. Call after `confine`.
Result<void> probe(Surroundings const& surroundings);

/// How many attempts `probe` makes.
std::size_t probe_count(Surroundings const& surroundings);

}  // namespace plexus::sandbox
