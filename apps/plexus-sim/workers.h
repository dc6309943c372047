#pragma once

#include <functional>

#include "simulation/run.h"

namespace plexus::sim_app {

/// One seed that did not pass.
struct Report {
    std::uint64_t seed = 0;
    std::string failure;
};

struct Range {
    std::uint64_t first = 1;
    std::uint64_t last = 1;
    unsigned jobs = 1;
    std::size_t check_hashes = 0;  ///< so many seeds, spread over the range, run twice
};

struct Totals {
    std::uint64_t seeds = 0;
    std::uint64_t failures = 0;
    std::uint64_t repeated = 0;
    std::uint64_t different = 0;
    std::uint64_t checks = 0;
    std::uint64_t faults = 0;
    std::uint64_t attacks = 0;
    std::uint64_t asked = 0;
    std::uint64_t answered = 0;
    std::uint64_t failed = 0;
    double simulated_seconds = 0;
    double busy_seconds = 0;  ///< wall time of all jobs together
    std::uint64_t largest_mib = 0;
};

/// Runs every seed of the range in child processes, so that a crash or an endless loop costs one seed and names it.
Totals run_seeds(Range const& range, std::function<simulation::RunOptions(std::uint64_t)> options,
                 std::function<void(Report const&)> failed);

}  // namespace plexus::sim_app
