#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plexus {

/// Owned bytes.
using Bytes = std::vector<std::byte>;

/// Borrowed bytes; valid until the call, or the awaited operation, ends.
using ByteView = std::span<std::byte const>;

/// Borrowed bytes to write into; same lifetime rule.
using MutableByteView = std::span<std::byte>;

/// The bytes of a text, borrowed.
inline ByteView as_view(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// The text of some bytes, borrowed. No encoding is checked.
inline std::string_view as_text(ByteView bytes)
{
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

inline Bytes to_bytes(ByteView bytes)
{
    return {bytes.begin(), bytes.end()};
}

inline Bytes to_bytes(std::string_view text)
{
    return to_bytes(as_view(text));
}

inline void append(Bytes& target, ByteView bytes)
{
    target.insert(target.end(), bytes.begin(), bytes.end());
}

/// All parts behind one another.
Bytes concatenate(std::initializer_list<ByteView> parts);

/// Lower-case hexadecimal, two digits a byte.
std::string to_hex(ByteView bytes);

/// Errors: `malformed` for an odd count or a character that is no hexadecimal digit. Accepts both cases.
Result<Bytes> from_hex(std::string_view text);

/// True if both are equal, in a time that depends on the sizes only. Use for secrets.
bool equal_in_constant_time(ByteView left, ByteView right);

/// Writes an unsigned integer of `sizeof(T)` bytes at `target`, which must have room.
template <typename T>
void store_big_endian(std::byte* target, T value)
{
    for (std::size_t index = 0; index < sizeof(T); ++index) {
        target[index] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * (sizeof(T) - 1 - index)));
    }
}

template <typename T>
void store_little_endian(std::byte* target, T value)
{
    for (std::size_t index = 0; index < sizeof(T); ++index) {
        target[index] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * index));
    }
}

template <typename T>
T load_big_endian(std::byte const* source)
{
    std::uint64_t value = 0;
    for (std::size_t index = 0; index < sizeof(T); ++index) {
        value = (value << 8) | std::to_integer<std::uint64_t>(source[index]);
    }
    return static_cast<T>(value);
}

template <typename T>
T load_little_endian(std::byte const* source)
{
    std::uint64_t value = 0;
    for (std::size_t index = sizeof(T); index > 0; --index) {
        value = (value << 8) | std::to_integer<std::uint64_t>(source[index - 1]);
    }
    return static_cast<T>(value);
}

}  // namespace plexus
