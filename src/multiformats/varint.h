#pragma once

#include <optional>

#include "base/bytes.h"

namespace plexus::multiformats {

/// Longest encoding that is accepted: 63 bits of value.
inline constexpr std::size_t max_varint_bytes = 9;

/// Appends `value` (below 2^63) as an unsigned varint. Spec: multiformats/unsigned-varint.
void append_varint(Bytes& target, std::uint64_t value);

std::size_t varint_size(std::uint64_t value);

struct Varint {
    std::uint64_t value = 0;
    std::size_t size = 0;  ///< bytes it took
};

/// Reads the varint at the front. Nothing if more bytes are needed.
/// Errors: `malformed` for more than nine bytes or an encoding longer than needed.
Result<std::optional<Varint>> read_varint(ByteView bytes);

/// As read_varint, where an end within the varint is `malformed` too; drops it from the front of `bytes`.
Result<std::uint64_t> take_varint(ByteView& bytes);

}  // namespace plexus::multiformats
