#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "base/result.h"

/// Changes one place of a JSON document that a person wrote, with comments and trailing commas, and leaves every other
/// byte as it is.
namespace plexus::cli {

inline constexpr std::size_t max_edited_bytes = 4 << 20;

/// The document with `value` as the member at `path`, whose objects are made as needed. An empty text is an empty object.
/// Errors: `malformed` (no JSON with comments), `conflict` (something on the path is no object), `too_large`.
Result<std::string> with_member(std::string_view text, std::vector<std::string> const& path,
                                boost::json::value const& value);

/// The document without that member; as it was if there is none. Errors: as above.
Result<std::string> without_member(std::string_view text, std::vector<std::string> const& path);

/// The same for an array of objects: the element whose member "name" is that of `value`. An empty text is an empty array.
Result<std::string> with_element(std::string_view text, boost::json::object const& value);
Result<std::string> without_element(std::string_view text, std::string_view name);

/// A value over several lines, two spaces a level, the first line not indented.
std::string pretty(boost::json::value const& value, std::size_t level = 0);

}  // namespace plexus::cli
