#include "api/answer_piece.h"

#include <cmath>

#include <boost/json/value.hpp>

#include "api/chat_answer.h"
#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

double number_of(json::object const& object, std::string_view name)
{
    auto const* value = find(object, name);
    auto code = boost::system::error_code{};
    auto const number = value == nullptr ? 0.0 : value->to_number<double>(code);
    return code || !std::isfinite(number) ? 0.0 : std::clamp(number, 0.0, unlimited);
}

std::uint64_t count_of(json::object const& object, std::string_view name)
{
    return static_cast<std::uint64_t>(number_of(object, name));
}

Duration milliseconds_of(json::object const& object, std::string_view name)
{
    constexpr auto longest = std::chrono::duration<double, std::milli>(std::chrono::hours(24 * 365));
    auto const time = std::min(std::chrono::duration<double, std::milli>(number_of(object, name)), longest);
    return std::chrono::duration_cast<Duration>(time);
}

void add_calls(AnswerPiece& piece, json::array const& deltas)
{
    for (auto const& delta : deltas) {
        if (!delta.is_object()) {
            continue;
        }
        auto call = CallPiece{};
        call.index = static_cast<std::size_t>(number_of(delta.get_object(), "index"));
        if (call.index >= max_tool_calls) {
            continue;
        }
        call.id = text_of(delta.get_object(), "id");
        if (auto const* function = object_in(delta.get_object(), "function")) {
            call.name = text_of(*function, "name");
            call.arguments = text_of(*function, "arguments");
        }
        piece.calls.push_back(std::move(call));
    }
}

void read_choice(AnswerPiece& piece, json::object const& choice)
{
    piece.text = text_of(choice, "text");  // legacy completions
    piece.finish_reason = text_of(choice, "finish_reason");
    auto const* delta = object_in(choice, "delta");
    if (delta == nullptr) {
        return;
    }
    piece.text += text_of(*delta, "content");
    piece.text += text_of(*delta, "refusal");
    piece.reasoning = text_of(*delta, "reasoning_content");
    if (auto const* calls = find(*delta, "tool_calls"); calls != nullptr && calls->is_array()) {
        add_calls(piece, calls->get_array());
    }
}

/// llama.cpp's own form, as it answers /infill.
void read_plain(AnswerPiece& piece, json::object const& chunk)
{
    piece.text = text_of(chunk, "content");
    if (flag_of(chunk, "stop")) {
        piece.finish_reason = text_of(chunk, "stop_type") == "limit" ? "length" : "stop";
        piece.tokens = TokenCounts{.prompt = count_of(chunk, "tokens_evaluated"),
                                   .cached = 0,
                                   .completion = count_of(chunk, "tokens_predicted")};
    }
}

}  // namespace

Result<AnswerPiece> parse_answer_piece(std::string_view text)
{
    auto const parsed = chunk_object(text);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    auto const& chunk = *parsed;
    auto piece = AnswerPiece{};
    auto const* choices = find(chunk, "choices");
    if (choices == nullptr) {
        read_plain(piece, chunk);
    } else if (choices->is_array() && !choices->get_array().empty() && choices->get_array().front().is_object()) {
        read_choice(piece, choices->get_array().front().get_object());
    }
    if (auto const* usage = object_in(chunk, "usage")) {
        auto const* details = object_in(*usage, "prompt_tokens_details");
        piece.tokens = TokenCounts{.prompt = count_of(*usage, "prompt_tokens"),
                                   .cached = details != nullptr ? count_of(*details, "cached_tokens") : 0,
                                   .completion = count_of(*usage, "completion_tokens")};
    }
    if (auto const* timings = object_in(chunk, "timings")) {
        piece.times = ComputingTimes{.prompt = milliseconds_of(*timings, "prompt_ms"),
                                     .completion = milliseconds_of(*timings, "predicted_ms")};
    }
    return piece;
}

json::object arguments_object(std::string_view text)
{
    return parse_object(text).value_or(json::object{});
}

std::string PrefillFilter::pass(std::string text)
{
    if (text.empty() || prefill_.empty()) {
        return text;
    }
    auto const prefill = std::exchange(prefill_, {});
    return text.starts_with(prefill) ? text.substr(prefill.size()) : text;
}

}  // namespace plexus::api
