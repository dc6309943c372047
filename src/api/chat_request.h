#pragma once

#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_messages = 4096;
inline constexpr std::size_t max_tools = 512;
inline constexpr std::size_t max_stops = 16;

/// A chat completion request that has been checked at the edge.
struct ChatRequest {
    std::string model;
    bool stream = false;
    bool include_usage = false;
    /// The client's body with `stream` and `stream_options.include_usage` set, null fields dropped, the role
    /// `developer` written as `system`, counts clamped to what the engine can hold, empty stops dropped, and a tool
    /// chosen by name left alone and "required"; everything else as it came.
    std::string task_body;
};

/// Checks the types and ranges of the fields that we know; unknown fields pass. Nothing of `body` is kept.
std::expected<ChatRequest, Problem> parse_chat_request(std::string_view body);

}  // namespace plexus::api
