#pragma once

#include "api/answer_piece.h"
#include "api/document_dialect.h"

namespace plexus::api {

/// What the answer must know of its request.
struct AnthropicAnswerOptions {
    std::string model;       ///< as the client named it
    std::string request_id;  ///< makes the id of the message and the signatures of its thinking
    bool stream = false;
    std::string prefill{};
    bool shows_thinking = true;
    std::vector<std::string> left_out{};
};

/// Anthropic's messages: blocks of thinking, text and calls of tools, one after another, whole or as events.
///
/// Waiting is filled with `ping` events. Thinking is signed with a word of ours that nobody checks.
class AnthropicDialect final : public Dialect {
public:
    explicit AnthropicDialect(AnthropicAnswerOptions options);
    ~AnthropicDialect() override;

    std::vector<Header> headers() const override;
    std::string begin() override;
    std::string keep_alive() override;
    /// Errors also: `malformed` for calls of tools that are interleaved or have no name.
    Result<std::string> chunk(std::string chunk) override;
    std::string end() override;
    std::string failure(Problem const& problem) override;
    Response whole() override;
    Response refusal(Problem const& problem) override;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The answer to count_tokens, from that of TaskKind::tokenize.
class AnthropicCountDialect final : public DocumentDialect {
public:
    AnthropicCountDialect(std::string request_id, std::vector<std::string> left_out)
        : request_id_(std::move(request_id)), left_out_(std::move(left_out))
    {
    }

    std::vector<Header> headers() const override;
    Response whole() override;
    Response refusal(Problem const& problem) override;

private:
    std::string request_id_;
    std::vector<std::string> left_out_;
};

}  // namespace plexus::api
