#pragma once

#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_tools = 512;

/// True for a tool, or the call of one: {"type":"function","function":{"name":…}}.
bool names_function(boost::json::value const& tool);

/// Checks `tools` and `tool_choice` of a chat body. The engine knows no choice of single tools: those that are not chosen
/// are taken out of `tools`, and the choice becomes "auto" or "required".
Check check_tools(boost::json::object& body);

}  // namespace plexus::api
