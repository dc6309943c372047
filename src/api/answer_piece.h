#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "base/result.h"
#include "base/time.h"

namespace plexus::api {

/// A part of a tool call. The first part of a call has its name; the arguments, a JSON text, come in pieces.
struct CallPiece {
    std::size_t index = 0;  ///< below max_tool_calls
    std::string id{};
    std::string name{};
    std::string arguments{};
};

struct TokenCounts {
    std::uint64_t prompt = 0;
    std::uint64_t cached = 0;  ///< of the prompt, those that had not to be computed again
    std::uint64_t completion = 0;
};

struct ComputingTimes {
    Duration prompt{};
    Duration completion{};
};

/// What one chunk of a streamed task adds to its answer.
struct AnswerPiece {
    std::string text{};
    std::string reasoning{};
    std::vector<CallPiece> calls{};
    std::string finish_reason{};  ///< OpenAI's word; empty while it goes on
    std::optional<TokenCounts> tokens{};
    std::optional<ComputingTimes> times{};
};

/// Reads a chunk of any streamed TaskKind: OpenAI's chat or legacy completions, or llama.cpp's own.
/// Errors: `malformed` if it is no JSON object. Fields of wrong types count as absent.
Result<AnswerPiece> parse_answer_piece(std::string_view chunk);

/// The arguments of a tool call; an empty object if the model wrote something else.
boost::json::object arguments_object(std::string_view text);

/// Takes away the text with which the client began the answer: the engine repeats it in the first piece with text.
class PrefillFilter {
public:
    explicit PrefillFilter(std::string prefill) : prefill_(std::move(prefill)) {}

    /// The part of `text` that is new.
    std::string pass(std::string text);

private:
    std::string prefill_;  // empty once the answer has begun
};

}  // namespace plexus::api
