#pragma once

#include <map>
#include <vector>

#include "models/gguf_reader.h"

namespace plexus::models {

/// A metadata value, as far as the rules ask for it.
struct GgufValue {
    static constexpr std::size_t kept_text_bytes = 1024;
    static constexpr std::size_t kept_integers = 1024;  // twice the layers that a model may have

    GgufType type{};     ///< of the elements, if is_array
    bool is_array = false;
    std::uint64_t count = 1;                ///< elements, or bytes of a text
    std::vector<std::int64_t> integers{};   ///< of integers and booleans, unless more than kept_integers; clamped
    std::string text{};                     ///< the first kept_text_bytes of a text

    bool is_text() const { return type == GgufType::text && !is_array; }
    bool is_integer() const;  ///< one, or an array of integers or booleans that were kept
};

/// The tokens of a vocabulary as llama.cpp sees them: up to the first zero byte, empty ones by their number.
struct GgufTokens {
    std::uint64_t count = 0;
    bool are_distinct = true;
};

/// The metadata of a file: every value of it is well formed, within the limits of gguf.h, and no number is infinite or
/// not a number.
struct GgufMetadata {
    std::map<std::string, GgufValue, std::less<>> values{};
    std::optional<GgufTokens> tokens{};

    GgufValue const* find(std::string_view key) const;
    /// Of a text; empty if there is none.
    std::string_view text(std::string_view key) const;
    /// Of one integer; nothing if there is none.
    std::optional<std::int64_t> integer(std::string_view key) const;
};

/// Reads `count` keys and values. Errors: `malformed`, `too_large`, `io`.
Result<GgufMetadata> read_metadata(GgufReader& reader, std::uint64_t count);

}  // namespace plexus::models
