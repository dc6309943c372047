#include "inference/external_answer.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "inference/external.h"

namespace plexus::inference {

namespace {

constexpr auto end_word = std::string_view("[DONE]");
constexpr std::size_t tail_bytes = 64;
constexpr std::size_t max_error_text = 500;

double per_second(std::uint64_t tokens, Duration time)
{
    auto const seconds = std::chrono::duration<double>(time).count();
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

/// The sentence of an error, in the shapes of OpenAI, vLLM and FastAPI.
std::string message_in(std::string_view body)
{
    auto code = boost::system::error_code{};
    auto const json = boost::json::parse(body, code);
    auto const* object = code ? nullptr : json.if_object();
    auto const* error = object == nullptr ? nullptr : object->if_contains("error");
    if (error != nullptr && error->is_object()) {
        object = &error->get_object();
    }
    for (auto const* name : {"message", "detail", "error"}) {
        auto const* text = object == nullptr ? nullptr : object->if_contains(name);
        if (text != nullptr && text->is_string()) {
            return printable_utf8(text->get_string(), max_error_text);
        }
    }
    return {};
}

bool speaks_of_context(std::string_view body)
{
    constexpr auto words = std::array<std::string_view, 5>{"context_length_exceeded", "exceed_context_size",
                                                           "maximum context length", "context length", "context size"};
    return std::ranges::any_of(words, [&](auto word) { return body.contains(word); });
}

ErrorKind kind_of(int status, std::string_view body)
{
    switch (status) {
    case 401:
    case 403:
    case 429:
    case 503: return ErrorKind::unavailable;
    case 404: return ErrorKind::not_found;
    case 413: return ErrorKind::too_large;
    default: break;
    }
    if (status >= 400 && status < 500) {
        return speaks_of_context(body) ? ErrorKind::too_large : ErrorKind::malformed;
    }
    return status >= 500 ? ErrorKind::closed : ErrorKind::unavailable;
}

}  // namespace

HttpRequest external_request(std::string method, std::string url, std::string_view token)
{
    auto request = HttpRequest{.method = std::move(method), .url = std::move(url)};
    if (!token.empty()) {
        request.fields.push_back({"authorization", fmt::format("Bearer {}", token)});
    }
    request.public_only = false;  // the owner named it
    request.connect_limit = health_limit;
    request.silence_limit = external_silence_limit;
    return request;
}

Error external_error(int status, std::string_view body)
{
    auto const kind = kind_of(status, body);
    if (status == 401 || status == 403) {
        return {kind, fmt::format("the engine does not accept the token, or wants one (status {})", status)};
    }
    if (status >= 300 && status < 400) {
        return {kind, "the engine leads elsewhere, which is not followed"};
    }
    auto message = message_in(body);
    return {kind, message.empty() ? fmt::format("the engine answered with status {}", status) : std::move(message)};
}

ExternalAnswer::ExternalAnswer(Env& env, std::unique_ptr<HttpTransfer> transfer, TaskKind kind)
    : env_(env), transfer_(std::move(transfer)), kind_(kind), begun_(env.now())
{
}

Task<Result<std::optional<Part>>> ExternalAnswer::next()
{
    if (!std::exchange(has_head_, true)) {
        if (auto const headed = co_await take_head(); !headed) {
            co_return std::unexpected(headed.error());
        }
    }
    while (parts_.empty()) {
        auto const piece = co_await transfer_->read();
        if (!piece) {
            co_return fail(ErrorKind::closed, "the engine broke off: {}", piece.error().text);
        }
        if (piece->empty()) {
            co_return end();
        }
        if (auto const taken = take(*piece); !taken) {
            co_return std::unexpected(taken.error());
        }
    }
    auto part = std::move(parts_.front());
    parts_.pop_front();
    co_return std::optional(std::move(part));
}

Task<Result<void>> ExternalAnswer::take_head()
{
    auto const head = co_await transfer_->head();
    if (!head) {
        auto error = head.error();
        lost(error);
        auto const kind = error.kind == ErrorKind::closed ? ErrorKind::closed : ErrorKind::unavailable;
        co_return fail(kind, "the engine cannot be reached: {}", error.text);
    }
    if (head->status != 200) {
        auto const body = co_await read_body(*transfer_, max_engine_error_bytes);
        co_return std::unexpected(external_error(head->status, body.value_or("")));
    }
    co_return Result<void>{};
}

Result<void> ExternalAnswer::take(ByteView piece)
{
    if (!is_streamed(kind_)) {
        document_bytes_ += piece.size();
        if (document_bytes_ > max_document_bytes) {
            return fail(ErrorKind::too_large, "the answer has more than {} bytes; ask for less at a time",
                        max_document_bytes);
        }
        parts_.push_back({.text = std::string(as_text(piece))});
        return {};
    }
    auto text = std::string(as_text(piece));
    std::erase(text, '\r');  // some end lines with both; in JSON it is written as an escape
    tail_ += text;
    tail_.erase(0, tail_.size() - std::min(tail_.size(), tail_bytes));
    for (auto& event : parser_.push(text)) {
        if (auto failed = error_of_event(event.data)) {
            return std::unexpected(std::move(*failed));
        }
        read_timings(event.data, timings_);
        last_ = env_.now();
        first_ = first_.value_or(last_);
        parts_.push_back({.text = std::move(event.data)});
    }
    if (parser_.held() > max_event_bytes) {
        return fail(ErrorKind::closed, "the engine sent a part of more than {} bytes", max_event_bytes);
    }
    return {};
}

Result<std::optional<Part>> ExternalAnswer::end()
{
    if (is_streamed(kind_) && !tail_.contains(end_word)) {
        return fail(ErrorKind::closed, "the engine ended in the middle of the answer");
    }
    if (first_ && timings_.prefill_per_second == 0 && timings_.decode_per_second == 0) {
        timings_.prefill_per_second = per_second(timings_.prompt_tokens, *first_ - begun_);
        auto const more = timings_.completion_tokens - std::min<std::uint64_t>(timings_.completion_tokens, 1);
        timings_.decode_per_second = per_second(more, last_ - *first_);
    }
    return std::optional<Part>{};
}

}  // namespace plexus::inference
