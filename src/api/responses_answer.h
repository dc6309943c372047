#pragma once

#include <memory>

#include <boost/json/array.hpp>

#include "api/problem.h"

namespace plexus::api {

inline constexpr std::size_t max_output_items = 256;

/// Turns the chunks of a chat answer into a response and the events that stream it, in the order and with the numbers that
/// clients of OpenAI's Responses API rely on. Does no I/O.
class ResponseWriter {
public:
    /// `response` is what it is before it begins: its own fields, no output. Ids of items are made of `item_suffix`.
    ResponseWriter(boost::json::object response, std::string item_suffix);
    ~ResponseWriter();

    /// The events that come first.
    std::string begin();
    /// The events of one chat.completion.chunk. Errors: `malformed`; `too_large` over max_answer_bytes or max_output_items.
    Result<std::string> add(std::string_view chunk);
    /// The events that come last; the response is completed or, cut off by a limit, incomplete.
    std::string end(std::int64_t now_seconds);
    /// The event of a response that failed.
    std::string fail_with(Problem const& problem);

    /// As it is now.
    boost::json::object const& response() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::api
