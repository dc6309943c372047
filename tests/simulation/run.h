#pragma once

#include "simulation/findings.h"

namespace plexus::simulation {

struct RunOptions {
    std::uint64_t seed = 1;
    std::size_t devices = 5;                          ///< honest ones; a hostile member and a stranger come on top
    Duration trouble = std::chrono::seconds(20);      ///< how long faults and attacks go on
    /// Where the devices' log lines go; nothing set: where all go.
    std::function<void(Duration, std::string_view)> line{};
};

struct RunResult {
    std::vector<Finding> findings;
    Duration simulated{};
    std::uint64_t trace_hash = 0;
    std::uint64_t events = 0;
    std::uint64_t checks = 0;
    std::uint64_t faults = 0;
    std::uint64_t attacks = 0;
    std::uint64_t asked = 0;
    std::uint64_t answered = 0;
    std::uint64_t failed = 0;
};

/// One life of a mesh, all from the seed: devices pair, are troubled and attacked while they answer tasks, are healed,
/// must agree and answer again, and stop. What each run is held to is listed in docs/simulation.md.
RunResult run_seed(RunOptions const& options);

}  // namespace plexus::simulation
