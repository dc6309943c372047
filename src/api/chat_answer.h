#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "base/result.h"

namespace plexus::api {

inline constexpr std::size_t max_answer_bytes = 32 << 20;
inline constexpr std::size_t max_tool_calls = 128;

/// One chunk of an engine. Errors: `malformed` if it is no JSON object.
Result<boost::json::object> chunk_object(std::string_view chunk);

/// Puts the chunks of a streamed answer together to the one object that a client without `stream` gets.
class AnswerAssembler {
public:
    AnswerAssembler();
    ~AnswerAssembler();

    /// Adds one chat.completion.chunk. Errors: `malformed` if it is none; `too_large` over max_answer_bytes.
    Result<void> add(std::string_view chunk);
    /// What follows is the next choice. Usage of choices is added up, the prompt counted once.
    void next_choice();

    /// The chat.completion object.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Makes one stream of the chunks behind a streamed answer: one id for all choices, `index`, usage when all are there, and
/// id, type and name of a tool call once, however often the engine or a change of the engine says them again.
class ChunkWriter {
public:
    /// `has_choices`: there may be more than one choice.
    ChunkWriter(bool has_choices, bool include_usage);
    ~ChunkWriter();

    /// The chunk for the client; empty if nothing of it is left. Errors: `malformed` if it is no JSON object.
    Result<std::string> write(std::string chunk);
    void next_choice();
    /// The chunk with the usage of all choices; empty if it is not wanted or has been written already.
    std::string last() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The chunk with the name by which the client asked, in place of the engine's own word for its model.
std::string with_model_name(std::string chunk, std::string_view name);

}  // namespace plexus::api
