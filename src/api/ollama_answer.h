#pragma once

#include "api/answer_piece.h"
#include "api/document_dialect.h"
#include "base/env.h"

namespace plexus::api {

/// What the answer must know of its request.
struct OllamaAnswerOptions {
    enum class Form { chat, generate } form = Form::chat;
    std::string model;  ///< as the client named it
    bool stream = true;
    std::string prefill{};
    bool shows_thinking = true;
    std::vector<std::string> warnings{};
};

/// Ollama's chat and generate: one JSON object, or a line of JSON for each piece. Silence is filled with a line that adds
/// nothing. A call of a tool is told once it is whole. `load_duration` is all the time before computing began.
class OllamaDialect final : public Dialect {
public:
    OllamaDialect(Env& env, OllamaAnswerOptions options);

    std::string_view stream_type() const override { return "application/x-ndjson"; }
    std::vector<Header> headers() const override;
    std::string routed(Route const&) override { return {}; }
    std::string waiting(std::string_view) override { return {}; }
    std::string keep_alive() override;
    /// Errors also: `malformed` for calls of tools that are out of order.
    Result<std::string> chunk(std::string chunk) override;
    std::string end() override;
    std::string failure(Problem const& problem) override;
    Response whole() override;
    Response refusal(Problem const& problem) override;

    /// The answer to a request that asks nothing but to load or unload the model.
    std::string nothing_asked(std::string_view reason);

private:
    struct Call {
        std::size_t index = 0;
        std::string name;
        std::string arguments;
    };

    std::string line(std::string_view text, std::string_view thinking, std::vector<Call> const& calls = {});
    std::string last_line(std::string_view text, std::string_view thinking, std::vector<Call> const& calls);
    Result<void> add_call(CallPiece const& piece);
    Result<void> count(std::size_t bytes);

    Env& env_;
    OllamaAnswerOptions options_;
    PrefillFilter prefill_;
    Time began_;
    std::optional<Time> first_piece_;
    std::string text_;  // kept only for a client that wants the answer whole, as is thinking_
    std::string thinking_;
    std::vector<Call> calls_;
    std::size_t bytes_ = 0;
    std::string finish_reason_;
    TokenCounts tokens_;
    ComputingTimes times_;
};

/// Embeddings in the form of /api/embed, or of the older /api/embeddings.
class OllamaEmbedDialect final : public DocumentDialect {
public:
    enum class Form { embed, embeddings };
    /// `dimensions` cuts the vectors, which then get length 1 again; 0 leaves them.
    OllamaEmbedDialect(Env& env, Form form, std::string model, std::size_t dimensions);

    Response whole() override;
    Response refusal(Problem const& problem) override;

    /// The answer to no input.
    std::string nothing_asked() const;

private:
    Env& env_;
    Form form_;
    std::string model_;
    std::size_t dimensions_;
    Time began_;
};

}  // namespace plexus::api
