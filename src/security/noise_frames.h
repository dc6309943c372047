#pragma once

#include <optional>

#include "crypto/aead.h"

namespace plexus::security {

/// Sizes of Noise frames: a 2-byte big-endian length, then at most 65535 bytes with a 16-byte tag at the end.
inline constexpr std::size_t frame_header = 2;
inline constexpr std::size_t frame_tag = crypto::AeadKey::tag_size;
inline constexpr std::size_t max_frame_body = 65535;
inline constexpr std::size_t max_plaintext = max_frame_body - frame_tag;
/// Encrypts one direction. Frames are sealed in place: no copy.
class FrameSealer {
public:
    explicit FrameSealer(crypto::AeadKey key) : key_(std::move(key)) {}

    /// `frame` is frame_header bytes of room, the plaintext, frame_tag bytes of room; it becomes the frame to send.
    /// The plaintext has 1..max_plaintext bytes.
    void seal(MutableByteView frame);

private:
    crypto::AeadKey key_;
    std::uint64_t counter_ = 0;
};

/// Decrypts one direction, frame by frame, in place.
class FrameOpener {
public:
    explicit FrameOpener(crypto::AeadKey key) : key_(std::move(key)) {}

    struct Opened {
        MutableByteView plaintext;     ///< within `received`
        std::size_t frame_bytes = 0;   ///< taken from the front of `received`
    };

    /// Opens the frame at the front of `received`, or gives nothing if it is not whole yet.
    /// Errors: `malformed` (under 16 bytes, changed on its way, out of order); the connection must then be closed.
    Result<std::optional<Opened>> open(MutableByteView received);

private:
    crypto::AeadKey key_;
    std::uint64_t counter_ = 0;
};

}  // namespace plexus::security
