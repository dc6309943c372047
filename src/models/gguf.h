#pragma once

#include <string>

#include "base/env.h"

namespace plexus::models {

/// Limits of the part of a GGUF file in front of the tensor data. All are several times what real models have.
inline constexpr std::uint64_t max_header_bytes = 128ULL * 1024 * 1024;
inline constexpr std::uint64_t max_key_values = 4096;
inline constexpr std::uint64_t max_tensors = 16'384;
inline constexpr std::uint64_t max_key_bytes = 1024;
inline constexpr std::uint64_t max_text_bytes = 32ULL * 1024 * 1024;
inline constexpr std::uint64_t max_template_bytes = 128 * 1024;
inline constexpr std::ptrdiff_t max_template_brackets = 2048;  ///< each may be a level of the stack of what reads it
inline constexpr std::ptrdiff_t max_template_signs = 16 * 1024;
inline constexpr std::uint64_t max_element_bytes = 32 * 1024;  ///< of a text in an array
inline constexpr std::uint64_t max_texts = 4ULL * 1024 * 1024;  ///< in all arrays but that of the tokens
inline constexpr std::uint64_t max_tokens = 1024 * 1024;
inline constexpr std::uint64_t max_tensor_name = 63;
inline constexpr std::uint64_t min_alignment = 32;  ///< of ggml's buffers, and what no word means
inline constexpr std::uint64_t max_alignment = 64 * 1024;

/// What a model file says of itself.
struct GgufSummary {
    std::uint32_t version = 0;
    std::string architecture{};
    std::string name{};
    std::string quantisation{};  ///< the type that most weight bytes have, like "Q4_1"
    std::string tokenizer{};
    std::uint64_t tensors = 0;
    std::uint64_t parameters = 0;
    std::uint64_t weight_bytes = 0;
    std::uint64_t context_length = 0;
    std::uint64_t embedding_length = 0;
    std::uint64_t block_count = 0;
    std::uint64_t head_count = 0;
    std::uint64_t key_value_heads = 0;
    std::uint64_t key_length = 0;  ///< of one head; 0 here and below: the file does not say
    std::uint64_t value_length = 0;
    std::uint64_t feed_forward_length = 0;
    std::uint64_t sliding_window = 0;
    std::uint64_t state_values = 0;             ///< numbers of the recurrent state of one layer
    std::uint64_t full_attention_interval = 0;  ///< of recurrent models: every n-th layer attends instead
    std::uint64_t vocabulary_size = 0;
    bool has_chat_template = false;
    bool is_embedding = false;  ///< it gives vectors or, if is_reranker, scores; no text
    bool is_reranker = false;

    /// f16 keys and values of one token of context.
    std::uint64_t cache_bytes_per_token() const;
};

/// Checks a whole GGUF file before any other code sees it, in one pass from begin to end: every count, length, offset and
/// product against the real size of the file, in checked arithmetic, without setting memory aside for what the file
/// claims; and every number over which ggml or llama.cpp would end their process (docs/gguf.md). A file without tensors,
/// which is a vocabulary, passes.
///
/// Errors: `malformed` with the reason in words, `too_large` over a limit above, `io`.
/// Spec: ggml docs/gguf.md, versions 2 and 3, little-endian; types and rules of the pinned llama.cpp.
Result<GgufSummary> check_gguf(File const& file);

}  // namespace plexus::models
