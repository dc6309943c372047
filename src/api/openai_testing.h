#pragma once

#include <boost/json/value.hpp>

#include "api/api_testing.h"

/// Answers of the OpenAI routes, taken apart.
namespace plexus::api::testing {

boost::json::value body_of(Reply const& reply);
std::string error_code_of(Reply const& reply);
/// The data of each event, comments left out.
std::vector<std::string> events_of(Reply const& reply);

/// POST of a body whose refusal must be a 400 that names `param`.
void check_refused(ApiFixture& fixture, std::string_view path, std::string_view body, std::string_view param);

}  // namespace plexus::api::testing
