#include "scheduling/placement.h"

#include <cmath>

namespace plexus::scheduling {

namespace {

constexpr double equal_ratio = 1.1;
constexpr double load_bytes_per_second = 1e9;
constexpr double start_seconds = 0.1;     // of an engine
constexpr double cost_of_company = 0.5;   // each other answer under way slows one by so much
constexpr double assumed_prefill = 100;   // tokens per second, where nothing is known
constexpr double assumed_decode = 10;
constexpr double longest_seconds = 1e6;

Duration in_seconds(double seconds)
{
    auto const limited = seconds > 0 ? std::min(seconds, longest_seconds) : 0.0;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(limited));
}

double seconds_of(Duration time)
{
    return std::chrono::duration<double>(time).count();
}

double known_or(double per_second, double assumed)
{
    return per_second > 0 ? per_second : assumed;
}

/// Times in one step count as equal. Steps, not differences, keep the order a strict one.
long step_of(Duration time)
{
    return std::lround(std::log(std::max(seconds_of(time), 1e-6)) / std::log(equal_ratio));
}

std::string reason_of(Candidate const& candidate, Prediction const& prediction)
{
    auto parts = std::string{};
    auto const add = [&](Duration time, std::string_view what) {
        if (seconds_of(time) >= 0.05) {
            parts += fmt::format("{}{:.1f} s {}", parts.empty() ? ": " : ", ", seconds_of(time), what);
        }
    };
    add(prediction.queue, "in the queue");
    add(prediction.load, "to load the model");
    add(prediction.prompt, "for the prompt");
    add(prediction.answer, "for the answer");
    auto const* const guess = candidate.speed.decode.is_estimate() ? ", by an estimate of its speed" : "";
    return fmt::format("{:.1f} s expected{}{}", seconds_of(prediction.whole()), parts, guess);
}

class PredictingPlacement final : public Placement {
public:
    std::vector<Choice> rank(std::vector<Candidate> const& candidates, Work const& work) const override
    {
        auto choices = std::vector<Choice>{};
        for (std::size_t index = 0; index < candidates.size(); ++index) {
            auto const prediction = predict(candidates[index], work);
            choices.push_back({index, prediction, reason_of(candidates[index], prediction)});
        }
        std::ranges::sort(choices, {}, [&](Choice const& choice) {
            auto const& candidate = candidates[choice.candidate];
            return std::tuple(step_of(choice.prediction.whole()), !candidate.is_self, -candidate.known_tokens,
                              !candidate.is_loaded, candidate.device);
        });
        return choices;
    }
};

}  // namespace

Prediction predict(Candidate const& candidate, Work const& work)
{
    auto const slots = std::max<double>(candidate.slots, 1);
    auto const ahead = double{1} * candidate.running + candidate.queued;
    auto const company = std::min(ahead, slots - 1);
    auto const slowdown = (1 + cost_of_company * company) * candidate.correction;
    auto const unread = std::max(work.prompt_tokens - candidate.known_tokens, 1.0);
    auto const prompt = unread / known_or(candidate.speed.prefill.per_second, assumed_prefill) * slowdown;
    auto const answer = work.output_tokens / known_or(candidate.speed.decode.per_second, assumed_decode) * slowdown;
    auto const rounds = ahead < slots ? 0 : (ahead - slots + 1) / slots;
    auto const load = start_seconds + static_cast<double>(candidate.model_bytes) / load_bytes_per_second;
    return {.queue = in_seconds(rounds * answer),
            .load = in_seconds(candidate.is_loaded ? 0 : load),
            .prompt = in_seconds(prompt),
            .answer = in_seconds(answer),
            .travel = candidate.is_self ? Duration::zero() : candidate.round_trip};
}

std::unique_ptr<Placement> make_placement()
{
    return std::make_unique<PredictingPlacement>();
}

}  // namespace plexus::scheduling
