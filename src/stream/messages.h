#pragma once

#include "base/byte_stream.h"

namespace plexus::stream {

/// Length-prefixed messages over a stream: an unsigned varint byte count, then that many bytes.
/// Spec: libp2p-wire.md section 0.2.

/// Reads one message. Its announced size is checked against `limit` before anything is set aside, and memory grows with
/// what arrives. Errors: `closed` at an orderly end before a message, `malformed` at an end within one, `too_large`.
Task<Result<Bytes>> read_message(ByteStream& stream, std::size_t limit);

/// Writes one message; `message` is borrowed until the await ends.
Task<Result<void>> write_message(ByteStream& stream, ByteView message);

/// Reads exactly as many bytes as `target` has. Errors: `closed` at an end before the first byte, `malformed` later.
Task<Result<void>> read_exactly(ByteStream& stream, MutableByteView target);

/// The message with its length in front, for writing several at once.
Bytes frame_message(ByteView message);

}  // namespace plexus::stream
