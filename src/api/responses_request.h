#pragma once

#include <boost/json/array.hpp>

#include "api/chat_request.h"

namespace plexus::api {

/// A request to /v1/responses that has been checked at the edge.
struct ResponsesRequest {
    std::string model;
    bool stream = false;
    bool store = true;
    std::string instructions{};
    std::string previous_id{};          ///< of the response that it goes on from; may be empty
    boost::json::array items{};         ///< of this request's input
    boost::json::object chat{};         ///< the chat body but for its messages
    boost::json::object shown{};        ///< fields that the response repeats
    std::vector<std::string> left_out{};  ///< tools and items that are not here
};

/// Checks the fields that we know; others are dropped. Tools other than functions are left out, not refused: programs
/// offer all they know and work without.
std::expected<ResponsesRequest, Problem> parse_responses_request(std::string_view body);

/// The chat request for the conversation so far and the request's own items, all references resolved.
std::expected<ChatRequest, Problem> chat_request_from(ResponsesRequest const& request,
                                                      boost::json::array const& before);

}  // namespace plexus::api
