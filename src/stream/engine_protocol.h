#pragma once

#include <optional>

#include "base/bytes.h"

namespace plexus::stream {

/// The protocol between the daemon and plexus-engine over their socket pair.
///
/// Frame: u32 little-endian length of what follows, u8 type, u32 little-endian request, payload.
/// Both ends are of one build: there is no version negotiation.
enum class EngineFrameType : std::uint8_t {
    // to the engine
    load = 1,      ///< JSON: context, slots, threads, embedding, gpu_layers
    request = 2,   ///< route, newline, JSON body
    cancel = 3,
    ping = 4,
    quit = 5,
    // from the engine
    ready = 16,    ///< JSON: what was loaded
    refused = 17,  ///< text: why the engine will not start
    head = 18,     ///< u32 little-endian HTTP status; if it is not 200, the error behind it
    chunk = 19,    ///< the next bytes of the body
    end = 20,
    failed = 21,   ///< text
    pong = 22,     ///< JSON: busy slots
    walls = 23,    ///< text: what stands around the engine (sandbox/report.h); its first frame
    devices = 24,  ///< text: what it could compute on (stream/compute_devices.h); the only frame of one that looks
};

inline constexpr std::size_t engine_frame_header = 9;
inline constexpr std::size_t max_to_engine = 8 * 1024 * 1024;
inline constexpr std::size_t max_from_engine = 1024 * 1024;

struct EngineFrame {
    EngineFrameType type{};
    std::uint32_t request = 0;
    Bytes payload{};
};

/// Header and payload in one.
Bytes encode(EngineFrameType type, std::uint32_t request, ByteView payload);

/// Collects received bytes into frames. After an error it is spent: the process must be ended.
class EngineFrameDecoder {
public:
    explicit EngineFrameDecoder(std::size_t limit) : limit_(limit) {}

    void push(ByteView received);

    /// The next whole frame, or nothing yet. Errors: `too_large` before anything is set aside, `malformed`.
    Result<std::optional<EngineFrame>> next();

private:
    std::size_t limit_;
    Bytes pending_;
    std::size_t taken_ = 0;  // of the front of pending_
};

}  // namespace plexus::stream
