#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plexus::api {

inline constexpr std::size_t max_answer_bytes = 32 << 20;
inline constexpr std::size_t max_tool_calls = 128;

/// Puts the chunks of a streamed answer together to the one object that a client without `stream` gets.
class AnswerAssembler {
public:
    AnswerAssembler();
    ~AnswerAssembler();

    /// Adds one chat.completion.chunk. Errors: `malformed` if it is none; `too_large` over max_answer_bytes.
    Result<void> add(std::string_view chunk);

    /// The chat.completion object.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The chunk with the name by which the client asked, in place of the engine's own word for its model.
std::string with_model_name(std::string chunk, std::string_view name);

/// The chunk as a streaming client wants it: without `usage` unless asked for; empty if nothing of it is left.
std::string chunk_for_client(std::string chunk, bool include_usage);

}  // namespace plexus::api
