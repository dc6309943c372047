#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace plexus::api {

/// What every object of one answer carries.
struct CompletionHead {
    std::string id;
    std::int64_t created_seconds = 0;
    std::string model;
};

/// Turns what engines stream for completions and infill into OpenAI's text_completion objects.
class CompletionAnswer {
public:
    /// `echoes`: the text before each choice. `choices_of_prompt` choices share a prompt, whose tokens count once.
    CompletionAnswer(CompletionHead head, std::vector<std::string> echoes, std::size_t choices_of_prompt);
    ~CompletionAnswer();

    /// Adds a chunk of the current choice and gives the object to stream; empty if there is nothing to say.
    /// Errors: `malformed`; `too_large` over max_answer_bytes.
    Result<std::string> add(std::string_view chunk);
    void next_choice();

    /// The object with the usage alone, to stream last.
    std::string usage() const;
    /// The one object of an answer that is not streamed.
    std::string finish() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::api
