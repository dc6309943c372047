#pragma once

#include "models/gguf.h"

namespace plexus::models {

/// Tokens that an engine computes in one step, and how many states of a prompt it keeps for reuse a slot; the engine sets
/// the same (apps/plexus-engine/llama_adapter.cpp).
inline constexpr std::uint32_t batch_tokens = 256;
inline constexpr std::uint32_t kept_states = 1;

/// Bytes that an engine takes once its slots have been used.
struct MemoryEstimate {
    std::uint64_t weights = 0;  ///< once: pages of the file behind repacked tensors are not counted, they go first
    std::uint64_t cache = 0;  ///< keys, values and recurrent states of all slots
    std::uint64_t compute = 0;  ///< llama.cpp's buffers of one step
    std::uint64_t overhead = 0;  ///< program, vocabulary, samplers, kept states

    MemoryEstimate operator+(MemoryEstimate const& other) const
    {
        return {.weights = weights + other.weights,
                .cache = cache + other.cache,
                .compute = compute + other.compute,
                .overhead = overhead + other.overhead};
    }
    std::uint64_t total() const { return weights + cache + compute + overhead; }
    bool operator==(MemoryEstimate const&) const = default;
};

/// What a model needs with `context` tokens in each of `slots`, f16 keys and values, flash attention, on a processor.
///
/// Weights and cache are llama.cpp's own sums; compute and overhead are fitted to what it takes. Where layers differ in
/// ways the summary does not tell, the larger figure is taken. Of a file that lies no part is higher
/// than 2^60.
MemoryEstimate estimate_memory(GgufSummary const& model, std::uint32_t context, std::uint32_t slots);

/// What a draft model takes beside its model in the same engine.
MemoryEstimate estimate_draft(GgufSummary const& draft, std::uint32_t context, std::uint32_t slots);

}  // namespace plexus::models
