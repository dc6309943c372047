#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace plexus::scheduling {

inline constexpr std::size_t max_continued_bytes = 1024 * 1024;  ///< of text; a longer answer is not continued

/// The answer to a chat so far, to be continued by text on an engine of ours: it takes the text as a last message of the
/// assistant and goes on with it. llama.cpp as pinned does not repeat it (its "echo" is off).
///
/// Only plain text is continued: no tool call, no reasoning, no form that is prescribed, no answer that the client began.
class Continuation {
public:
    /// Notes a chunk that the client gets.
    void note(std::string_view chunk);

    /// The body that asks for the rest. What was said counts against the longest answer, a chunk as a token.
    /// Errors: `closed` if this answer cannot be continued.
    Result<std::string> body(std::string_view asked) const;

private:
    std::string text_;
    std::uint64_t tokens_ = 0;
    bool is_plain_ = true;
};

}  // namespace plexus::scheduling
