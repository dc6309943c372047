#include "security/noise_frames.h"

namespace plexus::security {

namespace {

/// Reserved by Noise; a session never comes near it.
constexpr std::uint64_t last_counter = UINT64_MAX;

}  // namespace

void FrameSealer::seal(MutableByteView frame)
{
    PLEXUS_ASSERT(frame.size() > frame_header + frame_tag && frame.size() <= frame_header + max_frame_body);
    PLEXUS_ASSERT(counter_ != last_counter);
    auto const body = frame.size() - frame_header;
    store_big_endian(frame.data(), static_cast<std::uint16_t>(body));
    key_.seal(counter_++, {}, frame.subspan(frame_header, body - frame_tag), frame.last(frame_tag));
}

Result<std::optional<FrameOpener::Opened>> FrameOpener::open(MutableByteView received)
{
    if (received.size() < frame_header) {
        return std::optional<Opened>{};
    }
    auto const body = std::size_t{load_big_endian<std::uint16_t>(received.data())};
    if (body < frame_tag) {
        return fail(ErrorKind::malformed, "an encrypted frame of {} bytes", body);
    }
    if (received.size() < frame_header + body) {
        return std::optional<Opened>{};
    }
    auto const plaintext = received.subspan(frame_header, body - frame_tag);
    auto const tag = received.subspan(frame_header + body - frame_tag, frame_tag);
    if (counter_ == last_counter || !key_.open(counter_++, {}, plaintext, tag)) {
        return fail(ErrorKind::malformed, "an encrypted frame was changed on its way");
    }
    return Opened{.plaintext = plaintext, .frame_bytes = frame_header + body};
}

}  // namespace plexus::security
