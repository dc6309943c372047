#pragma once

#include "base/bytes.h"

namespace plexus::multiformats {

/// Text forms of bytes. Decoders refuse foreign characters and texts over `max_text`.
inline constexpr std::size_t max_text = 1024;

std::string to_base58(ByteView bytes);
Result<Bytes> from_base58(std::string_view text);

/// RFC 4648 lower case, no padding.
std::string to_base32(ByteView bytes);
Result<Bytes> from_base32(std::string_view text);

std::string to_base36(ByteView bytes);
Result<Bytes> from_base36(std::string_view text);

/// RFC 4648 section 5, no padding.
std::string to_base64url(ByteView bytes);
Result<Bytes> from_base64url(std::string_view text);

/// The same with '~' for '_', and padding, as I2P writes its addresses.
std::string to_base64_i2p(ByteView bytes);
Result<Bytes> from_base64_i2p(std::string_view text);

}  // namespace plexus::multiformats
