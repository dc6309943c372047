#pragma once

#include <optional>

#include "base/bytes.h"

namespace plexus::api {

/// RFC 4648 section 4, with padding.
std::string to_base64(ByteView bytes);
/// Nothing for a text that is not of that form.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace plexus::api
