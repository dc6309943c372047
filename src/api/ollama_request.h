#pragma once

#include "api/json_fields.h"
#include "api/services.h"

namespace plexus::api {

/// A request of Ollama's chat or generate, checked and put into the words of a task. Options that are not known, and
/// `context` and `template`, pass unread.
struct OllamaRequest {
    std::string model;  ///< as the client named it
    bool stream = true;
    TaskKind kind = TaskKind::chat;  ///< `raw` is a completion, a `suffix` infill
    boost::json::object task{};      ///< body of the task; empty if nothing is asked: load or unload the model
    std::optional<Duration> keep_alive{};
    std::optional<std::uint32_t> context{};  ///< num_ctx
    std::string prefill{};                   ///< the text with which the client began the answer
    bool shows_thinking = true;
};

std::expected<OllamaRequest, Problem> parse_ollama_chat(std::string_view body);
std::expected<OllamaRequest, Problem> parse_ollama_generate(std::string_view body);

struct OllamaEmbedRequest {
    std::string model;
    boost::json::object task{};  ///< for TaskKind::embeddings
    std::optional<Duration> keep_alive{};
    std::size_t inputs = 0;
    std::size_t dimensions = 0;  ///< 0: as many as there are
};

inline constexpr std::size_t max_embed_inputs = 2048;

/// /api/embed: `input` is a text or at most max_embed_inputs.
std::expected<OllamaEmbedRequest, Problem> parse_ollama_embed(std::string_view body);
/// /api/embeddings, the older one: `prompt` is a text.
std::expected<OllamaEmbedRequest, Problem> parse_ollama_embeddings(std::string_view body);

/// A body that names a model in `model`, or as older clients do in `name`.
std::expected<std::string, Problem> parse_ollama_model(std::string_view body);

struct OllamaPullRequest {
    std::string model;
    bool stream = true;
};

std::expected<OllamaPullRequest, Problem> parse_ollama_pull(std::string_view body);

/// A time in the words of Ollama: a number of seconds or "1h30m"; below zero means for ever, given as -1 ns.
/// Nothing if it is neither. At most ten years.
std::optional<Duration> parse_keep_alive(boost::json::value const& value);

}  // namespace plexus::api
