#pragma once

#include <array>
#include <vector>

#include "api/chat_messages.h"
#include "api/chat_tools.h"
#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_stops = 16;
inline constexpr std::size_t max_choices = 8;
inline constexpr std::size_t max_biased_tokens = 1024;

/// How the next token is chosen, in the ranges of all of OpenAI's routes that know these fields.
inline constexpr auto sampling_rules = std::array{
    NumberRule{"temperature", 0, 2, false},
    NumberRule{"top_p", 0, 1, false},
    NumberRule{"min_p", 0, 1, false},
    NumberRule{"top_k", -1, unlimited, true},
    NumberRule{"presence_penalty", -2, 2, false},
    NumberRule{"frequency_penalty", -2, 2, false},
    NumberRule{"repeat_penalty", 0, 10, false},
};

/// A chat completion request that has been checked at the edge.
struct ChatRequest {
    std::string model;
    bool stream = false;
    bool include_usage = false;
    /// The client's body with `stream` and `stream_options.include_usage` set, null fields and `n` dropped, messages and
    /// tools as the engine knows them, counts clamped to what it can hold, empty stops dropped; everything else as it came.
    std::string task_body;
    /// If the client asked for more than one choice: the bodies of the others. A seed is another one in each.
    std::vector<std::string> other_bodies{};
};

/// Checks the types and ranges of the fields that we know; unknown fields pass. Nothing of `body` is kept.
std::expected<ChatRequest, Problem> parse_chat_request(std::string_view body);

/// The same for a body that another dialect has built.
std::expected<ChatRequest, Problem> check_chat_request(boost::json::object body);

/// Checks `logit_bias`: {"TOKEN ID": -100 to 100}.
Check check_bias(boost::json::object const& body);
/// Checks `stop`, and drops empty stops: every text ends with the empty one, so to the engine it means no answer.
Check check_stop(boost::json::object& body);
/// Clamps `max_tokens` and the like: programs ask for more tokens than any context holds and mean "as many as there are".
void clamp_counts(boost::json::object& body);

}  // namespace plexus::api
