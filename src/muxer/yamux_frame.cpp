#include "muxer/yamux_frame.h"

namespace plexus::muxer {

std::array<std::byte, FrameHeader::size> FrameHeader::encode() const
{
    auto bytes = std::array<std::byte, size>{};
    bytes[1] = static_cast<std::byte>(type);
    store_big_endian(bytes.data() + 2, flags);
    store_big_endian(bytes.data() + 4, stream);
    store_big_endian(bytes.data() + 8, length);
    return bytes;
}

Result<FrameHeader> FrameHeader::decode(std::span<std::byte const, size> bytes)
{
    auto const type = std::to_integer<std::uint8_t>(bytes[1]);
    if (bytes[0] != std::byte{0} || type > static_cast<std::uint8_t>(Type::go_away)) {
        return fail(ErrorKind::malformed, "a yamux frame of unknown version or type");
    }
    return FrameHeader{.type = static_cast<Type>(type),
                       .flags = load_big_endian<std::uint16_t>(bytes.data() + 2),
                       .stream = load_big_endian<StreamId>(bytes.data() + 4),
                       .length = load_big_endian<std::uint32_t>(bytes.data() + 8)};
}

}  // namespace plexus::muxer
