#pragma once

#include <boost/json/array.hpp>

#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_items = 4096;

/// The input of a Responses request as a list of items: a text becomes one message of the user. Items that stand for tools
/// which are not here are left out and named in `left_out`. Errors: a 400 that names `input`.
std::expected<boost::json::array, Problem> items_from_input(boost::json::value const& input,
                                                            std::vector<std::string>& left_out);

/// The messages of a chat body for items that items_from_input or a response gave, all references resolved. Instructions
/// and system messages at the beginning become one system message. Errors: a 400 that names `input`.
std::expected<boost::json::array, Problem> messages_from_items(std::string_view instructions,
                                                               boost::json::array const& items);

}  // namespace plexus::api
