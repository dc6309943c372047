#include "stream/engine_protocol.h"

namespace plexus::stream {

namespace {

constexpr std::size_t length_size = 4;

bool is_known(std::uint8_t type)
{
    return (type >= 1 && type <= 5) || (type >= 16 && type <= 24);
}

}  // namespace

Bytes encode(EngineFrameType type, std::uint32_t request, ByteView payload)
{
    auto frame = Bytes(engine_frame_header);
    store_little_endian(frame.data(), static_cast<std::uint32_t>(engine_frame_header - length_size + payload.size()));
    frame[length_size] = static_cast<std::byte>(type);
    store_little_endian(frame.data() + length_size + 1, request);
    append(frame, payload);
    return frame;
}

void EngineFrameDecoder::push(ByteView received)
{
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(std::exchange(taken_, 0)));
    append(pending_, received);
}

Result<std::optional<EngineFrame>> EngineFrameDecoder::next()
{
    auto const rest = ByteView(pending_).subspan(taken_);
    if (rest.size() < length_size) {
        return std::optional<EngineFrame>{};
    }
    auto const length = std::size_t{load_little_endian<std::uint32_t>(rest.data())};
    if (length > limit_) {
        return fail(ErrorKind::too_large, "an engine frame of {} bytes, at most {} are read", length, limit_);
    }
    if (length < engine_frame_header - length_size) {
        return fail(ErrorKind::malformed, "an engine frame of {} bytes", length);
    }
    if (rest.size() < length_size + length) {
        return std::optional<EngineFrame>{};
    }
    auto const type = std::to_integer<std::uint8_t>(rest[length_size]);
    if (!is_known(type)) {
        return fail(ErrorKind::malformed, "an engine frame of unknown type {}", type);
    }
    taken_ += length_size + length;
    return EngineFrame{.type = static_cast<EngineFrameType>(type),
                       .request = load_little_endian<std::uint32_t>(rest.data() + length_size + 1),
                       .payload = to_bytes(rest.first(length_size + length).subspan(engine_frame_header))};
}

}  // namespace plexus::stream
