#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/gguf.h"

namespace plexus::models {

/// A model that is worth having, from the list in this program (suggestions.cpp). Sizes and licences are what its
/// makers publish; its digest comes from the server, never from here.
struct Suggestion {
    std::string_view name;    ///< what `pull` is given, and the name in the store
    std::string_view title;
    std::string_view kind;    ///< "chat", "code", "embedding"
    std::string_view license;
    std::string_view source;  ///< "hf:org/repo/file.gguf"
    std::uint64_t size_bytes = 0;  ///< about
    std::uint64_t context_length = 0;
    std::uint64_t block_count = 0;
    std::uint64_t head_count = 0;
    std::uint64_t key_value_heads = 0;
    std::uint64_t embedding_length = 0;
    std::uint64_t head_length = 0;  ///< numbers of one key, also of one value

    /// What a GGUF file of it would say, as far as its memory goes.
    GgufSummary summary() const;
};

/// By kind, then from small to large.
std::span<Suggestion const> suggestions();

/// Null if there is none of that name.
Suggestion const* find_suggestion(std::string_view name);

/// True if each of the words is in one of the texts, in any case; no words are in all.
bool matches_words(std::string_view words, std::span<std::string_view const> texts);

}  // namespace plexus::models
