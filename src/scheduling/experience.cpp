#include "scheduling/experience.h"

#include <charconv>

namespace plexus::scheduling {

namespace {

constexpr double newest_weight = 0.3;
constexpr double largest_correction = 20;
constexpr double closeness = 0.25;
constexpr std::uint64_t fewest_tokens = 8;  // shorter answers tell little

/// The number behind a name in a JSON text, if there is one. In a text of the JSON its quotes are escaped.
std::optional<double> number_behind(std::string_view body, std::string_view quoted)
{
    for (auto at = body.find(quoted); at != std::string_view::npos; at = body.find(quoted, at + 1)) {
        auto const* const from = body.data() + at + quoted.size();
        auto value = std::uint64_t{0};
        auto const [end, error] = std::from_chars(from, body.data() + body.size(), value);
        if (error == std::errc{} && (at == 0 || body[at - 1] != '\\')) {
            return static_cast<double>(value);
        }
    }
    return std::nullopt;
}

std::optional<double> longest_answer(std::string_view body)
{
    auto const longest = number_behind(body, R"("max_tokens":)");
    return longest ? longest : number_behind(body, R"("max_completion_tokens":)");
}

double mean(double before, double newest)
{
    return before + newest_weight * (newest - before);
}

double seconds_of(Duration time)
{
    return std::chrono::duration<double>(time).count();
}

/// The part of a prediction that hangs on the device's speed, had it known how many tokens there would be.
double computing_seconds(Outcome const& outcome)
{
    auto const share = outcome.work.output_tokens > 0
                           ? static_cast<double>(outcome.output_tokens) / outcome.work.output_tokens
                           : 1.0;
    return seconds_of(outcome.prediction.prompt) + seconds_of(outcome.prediction.answer) * share;
}

}  // namespace

PromptBlocks blocks_of(std::string_view body)
{
    constexpr std::uint64_t basis = 14695981039346656037ULL;  // FNV-1a
    constexpr std::uint64_t prime = 1099511628211ULL;
    auto const begin = body.find(R"("messages":)");
    auto rest = body.substr(begin == std::string_view::npos ? 0 : begin);
    auto blocks = PromptBlocks{};
    auto hash = basis;
    while (rest.size() >= prompt_block_bytes && blocks.size() < max_prompt_blocks) {
        for (auto const letter : rest.substr(0, prompt_block_bytes)) {
            hash = (hash ^ static_cast<unsigned char>(letter)) * prime;
        }
        blocks.push_back(hash);
        rest.remove_prefix(prompt_block_bytes);
    }
    return blocks;
}

Experience::OfModel Experience::of_model(ModelDigest const& model) const
{
    auto const known = models_.find(model);
    return known == models_.end() ? OfModel{} : known->second;
}

Work Experience::work(ModelDigest const& model, std::string_view body) const
{
    auto const known = of_model(model);
    auto const limit = longest_answer(body);
    return {.prompt_tokens = static_cast<double>(body.size()) / known.bytes_per_token,
            .output_tokens = limit ? *limit * known.share_of_limit : known.output_tokens};
}

double Experience::known_tokens(PeerId const& device, ModelDigest const& model, PromptBlocks const& blocks) const
{
    auto const known = devices_.find({device, model});
    if (known == devices_.end()) {
        return 0;
    }
    auto same = std::ptrdiff_t{0};
    for (auto const& prompt : known->second.prompts) {
        same = std::max(same, std::ranges::mismatch(blocks, prompt).in1 - blocks.begin());
    }
    return static_cast<double>(same) * prompt_block_bytes / of_model(model).bytes_per_token;
}

double Experience::correction(PeerId const& device, ModelDigest const& model) const
{
    auto const known = devices_.find({device, model});
    return known == devices_.end() ? 1 : known->second.correction;
}

Experience::OfDevice& Experience::entry_of(Pair const& pair)
{
    if (!devices_.contains(pair) && devices_.size() >= max_remembered_devices) {
        devices_.erase(std::ranges::min_element(devices_, {}, [](auto const& item) { return item.second.last; }));
    }
    return devices_[pair];
}

void Experience::note(PeerId const& device, ModelDigest const& model, PromptBlocks blocks, Outcome const& outcome)
{
    auto& entry = entry_of({device, model});
    entry.last = ++noted_;
    entry.prompts.push_front(std::move(blocks));
    entry.prompts.resize(std::min(entry.prompts.size(), max_remembered_prompts));
    auto const expected = computing_seconds(outcome);
    auto const waits = outcome.prediction.queue + outcome.prediction.load + outcome.prediction.travel;
    auto const ratio = seconds_of(outcome.took) / std::max(expected + seconds_of(waits), 1e-6);
    foretold_ += std::abs(ratio - 1) <= closeness ? 1 : 0;
    if (outcome.output_tokens < fewest_tokens ||
        (models_.size() >= max_remembered_models && !models_.contains(model))) {
        return;
    }
    if (outcome.prediction.queue == Duration::zero() && outcome.prediction.load == Duration::zero()) {
        entry.correction = std::clamp(entry.correction * mean(1, ratio), 1 / largest_correction, largest_correction);
    }
    learn(models_[model], outcome);
}

void Experience::learn(OfModel& known, Outcome const& outcome)
{
    auto const per_token = static_cast<double>(outcome.body.size()) /
                           std::max<double>(static_cast<double>(outcome.prompt_tokens), 1);
    known.bytes_per_token = std::exchange(known.is_new, false) ? per_token : mean(known.bytes_per_token, per_token);
    auto const said = static_cast<double>(outcome.output_tokens);
    if (auto const limit = longest_answer(outcome.body); limit && *limit > 0) {
        known.share_of_limit = std::min(mean(known.share_of_limit, said / *limit), 1.0);
    } else {
        known.output_tokens = mean(known.output_tokens, said);
    }
}

}  // namespace plexus::scheduling
