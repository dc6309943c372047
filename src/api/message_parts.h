#pragma once

#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace plexus::api {

boost::json::object text_part(std::string_view text);
/// An image from its base64; the engine finds out by itself which kind it is if `media_type` is empty.
boost::json::object image_part(std::string_view base64, std::string_view media_type = "");

/// The parts as the `content` of a message: one string if all are text, which every chat template understands.
boost::json::value content_of(boost::json::array parts, std::string_view separator);

/// A call of a function in the words of a chat body.
boost::json::object function_call(std::string_view id, std::string_view name, boost::json::value const& arguments);

/// {"type":"json_schema",…} for `response_format`.
boost::json::object schema_format(boost::json::value schema);

}  // namespace plexus::api
