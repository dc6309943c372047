#pragma once

#include <array>

#include "base/bytes.h"

namespace plexus::muxer {

using StreamId = std::uint32_t;

/// The head of every frame: version 0, type, flags, stream, length; 12 bytes, big-endian. libp2p-wire.md section 10.1.
struct FrameHeader {
    static constexpr std::size_t size = 12;

    enum class Type : std::uint8_t { data = 0, window_update = 1, ping = 2, go_away = 3 };
    enum Flag : std::uint16_t { syn = 1, ack = 2, fin = 4, rst = 8 };

    Type type = Type::data;
    std::uint16_t flags = 0;
    StreamId stream = 0;
    std::uint32_t length = 0;  ///< body bytes, credit, opaque value or code, by type

    bool has(Flag flag) const { return (flags & flag) != 0; }

    std::array<std::byte, size> encode() const;
    /// Errors: `malformed` for an unknown version or type.
    static Result<FrameHeader> decode(std::span<std::byte const, size> bytes);
};

}  // namespace plexus::muxer
