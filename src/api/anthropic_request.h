#pragma once

#include "api/json_fields.h"

namespace plexus::api {

/// A request of Anthropic's Messages API, checked and put into the words of an OpenAI chat body.
struct AnthropicRequest {
    std::string model;
    bool stream = false;
    std::string task_body;  ///< for TaskKind::chat and TaskKind::tokenize
    std::string prefill{};  ///< the text with which the client began the answer; empty if it did not
    bool shows_thinking = true;  ///< false: blocks of thinking come without their text
    std::vector<std::string> left_out{};  ///< types of tools and blocks that only Anthropic's own servers have
};

enum class AnthropicUse {
    message,
    count,  ///< /v1/messages/count_tokens, which needs no max_tokens
};

/// Unknown fields, cache_control, metadata and signatures pass unread. Nothing of `body` is kept.
///
/// Thinking is off unless asked for. Images must come as base64, documents as text: nothing is fetched.
std::expected<AnthropicRequest, Problem> parse_anthropic_request(std::string_view body, AnthropicUse use);

}  // namespace plexus::api
