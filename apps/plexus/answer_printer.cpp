#include "answer_printer.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::cli {

namespace json = boost::json;

namespace {

std::string text_at(json::value const& value, std::string_view pointer)
{
    auto code = boost::system::error_code{};
    auto const* found = value.find_pointer(pointer, code);
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string{};
}

double number_at(json::value const& value, std::string_view pointer)
{
    auto code = boost::system::error_code{};
    auto const* found = value.find_pointer(pointer, code);
    return found != nullptr && found->is_number() ? found->to_number<double>() : 0;
}

}  // namespace

void AnswerPrinter::begin(Reply const& reply)
{
    auto const found = reply.headers.find("plexus-route");
    device_ = found == reply.headers.end() ? "" : found->second;
}

void AnswerPrinter::push(std::string_view piece)
{
    buffer_ += piece;
    for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
        take_line(std::string_view(buffer_).substr(0, end));
        buffer_.erase(0, end + 1);
    }
}

void AnswerPrinter::take_line(std::string_view line)
{
    constexpr auto route = std::string_view(": plexus-route ");
    constexpr auto data = std::string_view("data: ");
    if (line.starts_with(route)) {
        move_to(line.substr(route.size()));
    } else if (line.starts_with(": ") && text_.empty()) {
        context_.terminal.progress(line.substr(2) == "keep-alive" ? "waiting…" : fmt::format("{}…", line.substr(2)));
    } else if (line == "data: [DONE]") {
        is_done_ = true;
    } else if (line.starts_with(data)) {
        take_chunk(line.substr(data.size()));
    }
}

/// Where an answer goes on elsewhere a terminal shows a thin joint.
void AnswerPrinter::move_to(std::string_view device)
{
    auto const before = std::exchange(device_, std::string(device));
    if (text_.size() == std::exchange(moved_at_, text_.size())) {
        return;  // that one has said nothing
    }
    left_ += (left_.empty() ? "" : ", ") + before;
    auto& terminal = context_.terminal;
    if (context_.options.json) {
        terminal.line(json::serialize(json::object{{"type", "moved"}, {"from", before}, {"device", device_}}));
    } else if (terminal.output_is_terminal()) {
        terminal.write(terminal.styled(Tone::dim, terminal.speaks_unicode() ? "┊" : "|"));
    }
}

void AnswerPrinter::take_chunk(std::string_view data)
{
    auto code = boost::system::error_code{};
    auto const chunk = json::parse(data, code);
    if (code || !chunk.is_object()) {
        return;
    }
    if (auto const* error = chunk.get_object().if_contains("error"); error != nullptr && error->is_object()) {
        take_error(error->get_object());
        return;
    }
    print(text_at(chunk, "/choices/0/delta/content"));
    if (auto model = text_at(chunk, "/model"); !model.empty()) {
        model_ = std::move(model);
    }
    if (auto reason = text_at(chunk, "/choices/0/finish_reason"); !reason.empty()) {
        finish_reason_ = std::move(reason);
    }
    if (auto const rate = number_at(chunk, "/timings/predicted_per_second"); rate > 0) {
        tokens_per_second_ = rate;
    }
    if (auto const count = number_at(chunk, "/usage/completion_tokens"); count > 0) {
        tokens_ = static_cast<std::uint64_t>(count);
    }
}

void AnswerPrinter::take_error(json::object const& error)
{
    auto reply = Reply{.status = 503, .headers = {}, .body = json::serialize(json::object{{"error", error}})};
    failure_ = failure_of(reply);
}

void AnswerPrinter::print(std::string_view piece)
{
    if (piece.empty()) {
        return;
    }
    text_ += piece;
    if (context_.options.json) {
        context_.terminal.line(json::serialize(json::object{{"type", "chunk"}, {"text", piece}}));
    } else {
        context_.terminal.write(context_.terminal.safe(piece));
    }
}

void AnswerPrinter::finish()
{
    auto& terminal = context_.terminal;
    terminal.clear_progress();
    if (context_.options.json) {
        if (is_done_) {
            terminal.line(json::serialize(json::object{{"type", "done"},
                                                       {"text", text_},
                                                       {"device", device_},
                                                       {"model", model_},
                                                       {"finish_reason", finish_reason_},
                                                       {"tokens", tokens_},
                                                       {"tokens_per_second", tokens_per_second_}}));
        }
        return;
    }
    if (!text_.empty() && !text_.ends_with('\n')) {
        terminal.write("\n");
    }
    if (is_done_ && terminal.talk_is_terminal() && tokens_per_second_ > 0) {
        auto const moved = left_.empty() ? "" : fmt::format(", which went on for {}", left_);
        auto const note = fmt::format("{} on {}{}, {:.0f} tokens/s", model_, device_, moved, tokens_per_second_);
        terminal.say(terminal.styled(Tone::dim, terminal.safe(note)));
    }
}

}  // namespace plexus::cli
