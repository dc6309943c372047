#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/report.h"

namespace plexus::sandbox {

/// What the confined program knows of its surroundings, from the launcher's arguments.
struct Surroundings {
    std::map<std::string, std::uint64_t> outer_namespaces{};  ///< inode by name
    std::vector<std::string> forbidden_paths{};
    int daemon = 0;                        ///< its process id
    unsigned user = 0;                     ///< ids of this process as the daemon sees them
    unsigned user_group = 0;
    int model_descriptor = -1;             ///< the file that stays readable; -1: none
    int draft_descriptor = -1;             ///< another one, of the draft model; -1: none

    /// Of the files that stay readable.
    std::vector<int> files() const
    {
        auto descriptors = std::vector<int>{};
        for (auto const descriptor : {model_descriptor, draft_descriptor}) {
            if (descriptor >= 0) {
                descriptors.push_back(descriptor);
            }
        }
        return descriptors;
    }

    std::uint64_t memory_limit_bytes = 0;  ///< 0: none
    std::string group{};                   ///< folder of the control group, if the launcher made one
    bool may_be_weak = false;              ///< the owner allows that walls are missing which the system refuses
    std::optional<Layer> left_out{};       ///< for tests
    /// Loads the driver of a GPU, for an engine that is to use one: last of all before the root is emptied, while files
    /// can still be found. Gives the doors that it will need. It must leave no thread behind, which would stay outside of
    /// the walls, and no descriptor but of render nodes.
    std::function<Result<std::vector<Door>>()> load_driver{};
};

/// Raises the inner walls around this process, for good, and proves each wall, those of the launcher too, before the
/// next is raised. Errors: `not_allowed` with the first wall that could not be raised or was found open, and all that
/// could be done through it.
Result<Report> raise_walls(Surroundings const& surroundings);

/// After the model is open: takes away the right to open files at all, and proves it.
Result<void> seal();

}  // namespace plexus::sandbox
