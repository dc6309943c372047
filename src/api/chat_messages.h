#pragma once

#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_messages = 4096;

/// Checks `messages` of a chat body and writes them as the engine knows them: the role `developer` as `system`, the part
/// `refusal` as `text`. Pictures and sound must come in the message itself; nothing is fetched for a client.
Check check_messages(boost::json::object& body);

}  // namespace plexus::api
