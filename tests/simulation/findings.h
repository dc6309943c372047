#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/sim_env.h"

namespace plexus::simulation {

/// A promise that did not hold.
struct Finding {
    std::string invariant;  ///< its name, such as "no task hangs"
    std::string detail;
    Duration at{};  ///< since the beginning of the run
};

/// What went against the promises in one run, and how often each was checked.
class Findings {
public:
    static constexpr std::size_t max_kept = 20;

    explicit Findings(sim::World& world) : world_(world), begin_(world.now()) {}

    /// Notes a finding unless the promise holds. `detail` is called only then.
    template <typename Detail>
    void check(bool holds, std::string_view invariant, Detail detail)
    {
        ++checks_;
        if (!holds) {
            add(invariant, detail());
        }
    }
    void add(std::string_view invariant, std::string detail);

    std::vector<Finding> const& list() const { return list_; }
    std::uint64_t checks() const { return checks_; }
    Duration elapsed() const { return world_.now() - begin_; }

private:
    sim::World& world_;
    Time begin_;
    std::vector<Finding> list_;
    std::uint64_t checks_ = 0;
};

}  // namespace plexus::simulation
