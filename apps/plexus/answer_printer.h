#pragma once

#include "context.h"

namespace plexus::cli {

/// Turns the server-sent events of a streamed answer into text on standard output, or JSON Lines with --json.
class AnswerPrinter {
public:
    explicit AnswerPrinter(Context& context) : context_(context) {}

    void begin(Reply const& reply);
    void push(std::string_view piece);
    /// Ends the line and tells the speed.
    void finish();

    /// The answer so far.
    std::string const& text() const { return text_; }
    /// The failure that came inside the stream.
    std::optional<Failure> const& failure() const { return failure_; }

private:
    void take_line(std::string_view line);
    void move_to(std::string_view device);
    void take_chunk(std::string_view data);
    void take_error(boost::json::object const& error);
    void print(std::string_view piece);

    Context& context_;
    std::string buffer_;
    std::string text_;
    std::string device_;
    std::string left_;  // those that were lost in the middle
    std::size_t moved_at_ = 0;  // bytes of the text, at the last loss
    std::string model_;
    std::string finish_reason_;
    double tokens_per_second_ = 0;
    std::uint64_t tokens_ = 0;
    bool is_done_ = false;
    std::optional<Failure> failure_;
};

}  // namespace plexus::cli
