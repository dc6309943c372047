#pragma once

#include <string>
#include <string_view>

#include "scheduling/task_message.h"

namespace plexus::scheduling {

/// Of an answer; a longer one is not continued.
inline constexpr std::size_t max_continued_bytes = 1024 * 1024;
inline constexpr std::size_t max_continued_tokens = 256 * 1024;

/// The answer to a chat so far, kept for another engine to go on with.
///
/// Behind tokens, where the engine told them: whatever the answer is, it goes on exactly where it was cut, on an engine of the
/// same model. By text otherwise, as a last message of the assistant, which llama.cpp as pinned goes on with and does not
/// repeat (its "echo" is off): only plain text, no tool call, no reasoning, no form that is prescribed, no answer that the
/// client began.
class Continuation {
public:
    /// Notes a chunk that the client gets.
    void note(Chunk const& chunk);

    /// The body that asks for the rest, of the body that asked for what was noted. What was said counts against the longest
    /// answer; of text a chunk counts as a token. Errors: `closed` if this answer cannot be continued.
    Result<std::string> body(std::string_view asked) const;

    bool has_tokens() const { return !tokens_.empty(); }
    /// Part of the answer was noted, and none of its tokens.
    bool has_text_alone() const { return !text_.empty(); }
    /// The answer is there whole, but perhaps not yet how many tokens it took.
    bool is_whole() const { return is_whole_; }
    /// What it took, which an engine of ours tells last.
    std::optional<Timings> const& timings() const { return timings_; }

private:
    void note_text(std::string_view json);

    std::vector<std::uint32_t> tokens_;
    std::string text_;
    std::uint64_t text_tokens_ = 0;
    bool is_known_ = true;  // all that was said stands in one of these
    bool is_whole_ = false;
    std::optional<Timings> timings_;
};

/// Whether a chunk of a chat tells what the answer took, and nothing of the answer.
bool is_usage_alone(std::string_view chunk);

}  // namespace plexus::scheduling
