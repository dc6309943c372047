#include "scheduling/placement.h"

#include <cmath>

namespace plexus::scheduling {

namespace {

constexpr double equal_ratio = 1.1;
constexpr long slowest_step = -1'000'000;  // of a speed of zero

/// Speeds in one step count as equal. Steps, not differences, keep the order a strict one.
long speed_step(Candidate const& candidate)
{
    auto const speed = candidate.speed.decode.per_second;
    return speed > 0 ? std::lround(std::log(speed) / std::log(equal_ratio)) : slowest_step;
}

/// Smaller is better.
auto rank_of(Candidate const& candidate)
{
    auto const waiting = std::uint64_t{candidate.running} + candidate.queued;
    return std::tuple(!candidate.is_self, -speed_step(candidate), !candidate.is_loaded, waiting, candidate.device);
}

std::string reason_of(Candidate const& candidate)
{
    if (candidate.is_self) {
        return "this device holds the model";
    }
    auto const& decode = candidate.speed.decode;
    return fmt::format("{} {:.0f} tokens a second{}", decode.is_estimate() ? "estimated" : "measured",
                       decode.per_second, candidate.is_loaded ? ", the model is in memory" : "");
}

class SimplePlacement final : public Placement {
public:
    std::vector<Choice> rank(std::vector<Candidate> const& candidates) const override
    {
        auto choices = std::vector<Choice>{};
        for (std::size_t index = 0; index < candidates.size(); ++index) {
            choices.push_back({index, reason_of(candidates[index])});
        }
        std::ranges::sort(choices, {}, [&](Choice const& choice) { return rank_of(candidates[choice.candidate]); });
        return choices;
    }
};

}  // namespace

std::unique_ptr<Placement> make_simple_placement()
{
    return std::make_unique<SimplePlacement>();
}

}  // namespace plexus::scheduling
