#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace plexus::inference {

/// What is asked of a model. The numbers stand on the wire (docs/protocols/task.md).
enum class TaskKind : std::uint32_t {
    chat = 0,           ///< OpenAI chat body; streamed chat.completion.chunk objects
    completion = 1,     ///< OpenAI legacy completion body; streamed text_completion objects
    infill = 2,         ///< llama.cpp infill body; its streamed objects
    embeddings = 3,     ///< OpenAI embeddings body
    rerank = 4,         ///< body with "query" and "documents", as Jina and Cohere have it
    tokenize = 5,       ///< chat or completion body; answers {"tokens": of its prompt, "context": of a slot}
    transcription = 6,  ///< OpenAI transcription body as JSON, with the audio in base64 as "file"
};

/// Of an answer that is one document.
inline constexpr std::size_t max_document_bytes = 32 * 1024 * 1024;

/// Whether each part of an answer is a JSON object of its own. The parts of other answers make up one JSON document.
constexpr bool is_streamed(TaskKind kind)
{
    return kind == TaskKind::chat || kind == TaskKind::completion || kind == TaskKind::infill;
}

/// "chat", "embeddings".
std::string_view to_string(TaskKind kind);

/// The kind of that number, if there is one.
std::optional<TaskKind> task_kind_from(std::uint64_t number);

/// The route of plexus-engine that does it.
std::string_view route_of(TaskKind kind);

}  // namespace plexus::inference
