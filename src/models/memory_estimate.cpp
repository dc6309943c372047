#include "models/memory_estimate.h"

#include <cmath>

namespace plexus::models {

namespace {

constexpr double cache_step = 256;  // llama.cpp rounds contexts up to this
constexpr double bytes_of_f16 = 2;
constexpr double bytes_of_f32 = 4;

// Fitted to the pinned llama.cpp with vocabularies of 49,152 and 262,144 tokens and 1 to 8 slots.
constexpr double program_bytes = 26e6;
constexpr double bytes_per_vocabulary_entry = 145;
constexpr double slot_bytes = 1e6;

constexpr double most_bytes = static_cast<double>(1ULL << 60);

/// Of how many layers one attends to the whole context where the others see a window. Spec: llama.cpp src/models/.
struct WindowPattern {
    std::string_view architecture;
    std::uint64_t layers = 1;
    bool whole_first = false;
};

constexpr auto window_patterns = std::array{
    WindowPattern{"gemma2", 2},
    WindowPattern{"gemma3", 6},
    WindowPattern{"gemma3n", 5},
    WindowPattern{"gemma-embedding", 6},
    WindowPattern{"cohere2", 4},
    WindowPattern{"cohere2moe", 4, true},
    WindowPattern{"exaone4", 4},
    WindowPattern{"exaone-moe", 4},
    WindowPattern{"gpt-oss", 2},
    WindowPattern{"llama4", 4},
    WindowPattern{"olmo2", 4},
    WindowPattern{"afmoe", 4},
    WindowPattern{"smallthinker", 4, true},
};

double number(std::uint64_t value)
{
    return static_cast<double>(value);
}

double rounded_up(double value)
{
    return std::ceil(value / cache_step) * cache_step;
}

std::uint64_t bytes(double value)
{
    return static_cast<std::uint64_t>(std::clamp(value, 0.0, most_bytes));
}

/// Layers that keep all tokens, those that keep a window, and those with a state instead.
struct Layers {
    double whole = 0;
    double windowed = 0;
    double recurrent = 0;
};

Layers layers_of(GgufSummary const& model)
{
    auto const all = number(model.block_count);
    if (model.state_values > 0) {
        // Every n-th layer attends; without a number all or none do, and the file may mix them.
        auto const whole = model.full_attention_interval > 0 ? std::floor(all / number(model.full_attention_interval))
                                                             : (model.key_value_heads > 0 ? all : 0);
        return {.whole = whole, .recurrent = all - (model.full_attention_interval > 0 ? whole : 0)};
    }
    auto const pattern = std::ranges::find(window_patterns, std::string_view(model.architecture),
                                           &WindowPattern::architecture);
    if (model.sliding_window == 0 || pattern == window_patterns.end()) {
        return {.whole = all};
    }
    auto const groups = all / number(pattern->layers);
    auto const whole = pattern->whole_first ? std::ceil(groups) : std::floor(groups);
    return {.whole = whole, .windowed = all - whole};
}

double bytes_per_token_and_layer(GgufSummary const& model)
{
    auto const heads = number(model.key_value_heads > 0 ? model.key_value_heads : model.head_count);
    auto const usual = model.head_count > 0 ? std::floor(number(model.embedding_length) / number(model.head_count)) : 0;
    auto const key = model.key_length > 0 ? number(model.key_length) : usual;
    auto const value = model.value_length > 0 ? number(model.value_length) : usual;
    return heads * (key + value) * bytes_of_f16;
}

}  // namespace

MemoryEstimate estimate_memory(GgufSummary const& model, std::uint32_t context, std::uint32_t slots)
{
    auto const layers = layers_of(model);
    auto const cells = rounded_up(context);
    auto const window = std::min(cells, rounded_up(number(model.sliding_window) + batch_tokens));
    auto const per_cell = bytes_per_token_and_layer(model);
    auto const state = layers.recurrent * number(model.state_values) * bytes_of_f32;
    auto const per_slot = (layers.whole * cells + layers.windowed * window) * per_cell + state;

    auto const masks = (cells + (layers.windowed > 0 ? window : 0)) * batch_tokens * bytes_of_f16;
    auto const widths = 3 * number(model.feed_forward_length) + 4 * number(model.embedding_length);
    auto const scores = slots * number(model.vocabulary_size) * bytes_of_f32;
    auto const step = std::max(widths * batch_tokens * bytes_of_f32, scores);

    auto const kept = kept_states *
                      (layers.windowed * std::min(cells, number(model.sliding_window)) * per_cell + state);
    auto const overhead = program_bytes + bytes_per_vocabulary_entry * number(model.vocabulary_size) +
                          slots * (slot_bytes + kept);
    return {.weights = bytes(number(model.weight_bytes)),
            .cache = bytes(slots * per_slot),
            .compute = bytes(step + masks),
            .overhead = bytes(overhead)};
}

MemoryEstimate estimate_draft(GgufSummary const& draft, std::uint32_t context, std::uint32_t slots)
{
    auto estimate = estimate_memory(draft, context, slots);
    estimate.overhead -= bytes(program_bytes);
    return estimate;
}

}  // namespace plexus::models
