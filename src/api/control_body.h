#pragma once

#include <boost/json/object.hpp>

#include "api/http_message.h"
#include "api/problem.h"

namespace plexus::api {

/// The JSON object that a request of the control API brings; none is an empty one.
std::expected<boost::json::object, Problem> body_of(Request const& request);

/// A text field; empty if it is not there.
std::expected<std::string, Problem> text_field(boost::json::object const& body, std::string_view name);

/// True or false; nothing if it is not there.
std::expected<std::optional<bool>, Problem> flag_field(boost::json::object const& body, std::string_view name);

/// A whole number from 0 to `most`; 0 if it is not there.
std::expected<std::uint32_t, Problem> number_field(boost::json::object const& body, std::string_view name,
                                                   std::uint32_t most);

}  // namespace plexus::api
