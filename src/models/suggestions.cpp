#include "models/suggestions.h"

namespace plexus::models {

namespace {

constexpr std::uint64_t mega = 1'000'000;

constexpr auto list = std::array{
    Suggestion{.name = "smollm2-135m",
               .title = "SmolLM2 135M Instruct, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:bartowski/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf",
               .size_bytes = 105 * mega,
               .context_length = 8192,
               .block_count = 30,
               .head_count = 9,
               .key_value_heads = 3,
               .embedding_length = 576,
               .head_length = 64},
    Suggestion{.name = "qwen2.5-0.5b",
               .title = "Qwen2.5 0.5B Instruct, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf",
               .size_bytes = 491 * mega,
               .context_length = 32768,
               .block_count = 24,
               .head_count = 14,
               .key_value_heads = 2,
               .embedding_length = 896,
               .head_length = 64},
    Suggestion{.name = "qwen3-0.6b",
               .title = "Qwen3 0.6B, Q8_0",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf",
               .size_bytes = 639 * mega,
               .context_length = 40960,
               .block_count = 28,
               .head_count = 16,
               .key_value_heads = 8,
               .embedding_length = 1024,
               .head_length = 128},
    Suggestion{.name = "llama-3.2-1b",
               .title = "Llama 3.2 1B Instruct, Q4_K_M",
               .kind = "chat",
               .license = "Llama 3.2 Community",
               .source = "hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf",
               .size_bytes = 808 * mega,
               .context_length = 131072,
               .block_count = 16,
               .head_count = 32,
               .key_value_heads = 8,
               .embedding_length = 2048,
               .head_length = 64},
    Suggestion{.name = "qwen3-1.7b",
               .title = "Qwen3 1.7B, Q8_0",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-1.7B-GGUF/Qwen3-1.7B-Q8_0.gguf",
               .size_bytes = 1834 * mega,
               .context_length = 40960,
               .block_count = 28,
               .head_count = 16,
               .key_value_heads = 8,
               .embedding_length = 2048,
               .head_length = 128},
    Suggestion{.name = "llama-3.2-3b",
               .title = "Llama 3.2 3B Instruct, Q4_K_M",
               .kind = "chat",
               .license = "Llama 3.2 Community",
               .source = "hf:bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf",
               .size_bytes = 2019 * mega,
               .context_length = 131072,
               .block_count = 28,
               .head_count = 24,
               .key_value_heads = 8,
               .embedding_length = 3072,
               .head_length = 128},
    Suggestion{.name = "gemma-3-4b",
               .title = "Gemma 3 4B Instruct, Q4_K_M",
               .kind = "chat",
               .license = "Gemma",
               .source = "hf:ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf",
               .size_bytes = 2490 * mega,
               .context_length = 131072,
               .block_count = 34,
               .head_count = 8,
               .key_value_heads = 4,
               .embedding_length = 2560,
               .head_length = 256},
    Suggestion{.name = "qwen3-4b",
               .title = "Qwen3 4B, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
               .size_bytes = 2497 * mega,
               .context_length = 40960,
               .block_count = 36,
               .head_count = 32,
               .key_value_heads = 8,
               .embedding_length = 2560,
               .head_length = 128},
    Suggestion{.name = "qwen3-8b",
               .title = "Qwen3 8B, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
               .size_bytes = 5028 * mega,
               .context_length = 40960,
               .block_count = 36,
               .head_count = 32,
               .key_value_heads = 8,
               .embedding_length = 4096,
               .head_length = 128},
    Suggestion{.name = "qwen3-14b",
               .title = "Qwen3 14B, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-14B-GGUF/Qwen3-14B-Q4_K_M.gguf",
               .size_bytes = 9001 * mega,
               .context_length = 40960,
               .block_count = 40,
               .head_count = 40,
               .key_value_heads = 8,
               .embedding_length = 5120,
               .head_length = 128},
    Suggestion{.name = "gpt-oss-20b",
               .title = "gpt-oss 20B, MXFP4",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:ggml-org/gpt-oss-20b-GGUF/gpt-oss-20b-mxfp4.gguf",
               .size_bytes = 12110 * mega,
               .context_length = 131072,
               .block_count = 24,
               .head_count = 64,
               .key_value_heads = 8,
               .embedding_length = 2880,
               .head_length = 64},
    Suggestion{.name = "qwen3-30b-a3b",
               .title = "Qwen3 30B, 3B active, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf",
               .size_bytes = 18557 * mega,
               .context_length = 40960,
               .block_count = 48,
               .head_count = 32,
               .key_value_heads = 4,
               .embedding_length = 2048,
               .head_length = 128},
    Suggestion{.name = "qwen3-32b",
               .title = "Qwen3 32B, Q4_K_M",
               .kind = "chat",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen3-32B-GGUF/Qwen3-32B-Q4_K_M.gguf",
               .size_bytes = 19763 * mega,
               .context_length = 40960,
               .block_count = 64,
               .head_count = 64,
               .key_value_heads = 8,
               .embedding_length = 5120,
               .head_length = 128},
    Suggestion{.name = "qwen2.5-coder-1.5b",
               .title = "Qwen2.5 Coder 1.5B Instruct, Q4_K_M",
               .kind = "code",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
               .size_bytes = 1117 * mega,
               .context_length = 32768,
               .block_count = 28,
               .head_count = 12,
               .key_value_heads = 2,
               .embedding_length = 1536,
               .head_length = 128},
    Suggestion{.name = "qwen2.5-coder-7b",
               .title = "Qwen2.5 Coder 7B Instruct, Q4_K_M",
               .kind = "code",
               .license = "Apache-2.0",
               .source = "hf:Qwen/Qwen2.5-Coder-7B-Instruct-GGUF/qwen2.5-coder-7b-instruct-q4_k_m.gguf",
               .size_bytes = 4683 * mega,
               .context_length = 32768,
               .block_count = 28,
               .head_count = 28,
               .key_value_heads = 4,
               .embedding_length = 3584,
               .head_length = 128},
    Suggestion{.name = "nomic-embed-text-v1.5",
               .title = "Nomic Embed Text v1.5, Q8_0",
               .kind = "embedding",
               .license = "Apache-2.0",
               .source = "hf:nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q8_0.gguf",
               .size_bytes = 146 * mega,
               .context_length = 2048,
               .block_count = 12,
               .head_count = 12,
               .key_value_heads = 12,
               .embedding_length = 768,
               .head_length = 64},
};

std::string lower_case(std::string_view text)
{
    auto lowered = std::string(text);
    std::ranges::transform(lowered, lowered.begin(), [](unsigned char letter) { return std::tolower(letter); });
    return lowered;
}

}  // namespace

GgufSummary Suggestion::summary() const
{
    auto summary = GgufSummary{};
    summary.architecture = "list";
    summary.weight_bytes = size_bytes;
    summary.context_length = context_length;
    summary.embedding_length = embedding_length;
    summary.block_count = block_count;
    summary.head_count = head_count;
    summary.key_value_heads = key_value_heads;
    summary.key_length = head_length;
    summary.value_length = head_length;
    summary.has_chat_template = kind != "embedding";
    summary.is_embedding = kind == "embedding";
    return summary;
}

std::span<Suggestion const> suggestions()
{
    return list;
}

Suggestion const* find_suggestion(std::string_view name)
{
    auto const found = std::ranges::find(list, name, &Suggestion::name);
    return found == list.end() ? nullptr : &*found;
}

bool matches_words(std::string_view words, std::span<std::string_view const> texts)
{
    auto rest = lower_case(words);
    auto const is_somewhere = [&](std::string_view word) {
        return std::ranges::any_of(texts, [&](std::string_view text) { return lower_case(text).contains(word); });
    };
    for (auto left = std::string_view(rest); !left.empty();) {
        auto const end = std::min(left.find(' '), left.size());
        if (end > 0 && !is_somewhere(left.substr(0, end))) {
            return false;
        }
        left.remove_prefix(std::min(end + 1, left.size()));
    }
    return true;
}

}  // namespace plexus::models
