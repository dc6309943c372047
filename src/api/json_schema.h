#pragma once

#include <boost/json/value.hpp>

#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_schema_depth = 40;  ///< of JSON, so about 20 objects in one another
inline constexpr std::size_t max_schema_values = 20'000;

/// A JSON schema that the engine is to hold an answer to: an object, within the limits, that refers to itself alone.
/// `param` names the field in problems.
Check check_schema(boost::json::value const& schema, std::string_view param);

}  // namespace plexus::api
