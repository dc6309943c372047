#include "scheduling/continuation.h"

#include <boost/json.hpp>

#include "inference/chat_events.h"

namespace plexus::scheduling {

namespace json = boost::json;

namespace {

/// The delta of the first choice, if the chunk has one.
json::object* delta_of(json::value& chunk)
{
    auto code = boost::system::error_code{};
    auto* const delta = chunk.find_pointer("/choices/0/delta", code);
    return delta == nullptr ? nullptr : delta->if_object();
}

bool is_set(json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    return value != nullptr && !value->is_null();
}

bool is_usage_alone(json::value const& chunk)
{
    auto const* const choices = chunk.is_object() ? chunk.get_object().if_contains("choices") : nullptr;
    return choices != nullptr && choices->is_array() && choices->get_array().empty();
}

bool prescribes_form(json::object const& body)
{
    constexpr auto names = std::array<std::string_view, 4>{"response_format", "json_schema", "grammar", "logprobs"};
    return std::ranges::any_of(names, [&](auto name) { return is_set(body, name); });
}

void add_said(json::object& body, std::vector<std::uint32_t> const& tokens)
{
    auto& said = body["plexus_said"];
    if (!said.is_array()) {
        said.emplace_array();
    }
    said.get_array().insert(said.get_array().end(), tokens.begin(), tokens.end());
}

std::unexpected<Error> not_continued()
{
    return fail(ErrorKind::closed, "an answer of this kind is not continued");
}

}  // namespace

void Continuation::note(Chunk const& chunk)
{
    is_whole_ = is_whole_ || chunk.json.contains(R"("finish_reason":")");  // in a text its quotes are escaped
    if (chunk.tokens.empty()) {
        note_text(chunk.json);
        return;
    }
    tokens_.insert(tokens_.end(), chunk.tokens.begin(), chunk.tokens.end());
    is_known_ = is_known_ && text_.empty() && tokens_.size() <= max_continued_tokens;
}

void Continuation::note_text(std::string_view chunk)
{
    if (!is_known_) {
        return;
    }
    auto code = boost::system::error_code{};
    auto value = json::parse(chunk, code);
    if (!code && is_usage_alone(value)) {
        inference::read_timings(chunk, timings_.emplace());
        return;
    }
    auto* const delta = delta_of(value);
    if (delta == nullptr) {
        is_known_ = false;
        return;
    }
    constexpr auto other = std::array<std::string_view, 4>{"tool_calls", "function_call", "reasoning_content",
                                                           "reasoning"};
    is_known_ = std::ranges::none_of(other, [&](auto name) { return is_set(*delta, name); });
    is_whole_ = is_whole_ || is_set(value.at_pointer("/choices/0").as_object(), "finish_reason");
    auto const* content = delta->if_contains("content");
    if (content != nullptr && content->is_string() && !content->get_string().empty()) {
        text_ += content->get_string();
        ++text_tokens_;
    }
    is_known_ = is_known_ && text_.size() <= max_continued_bytes && (text_.empty() || tokens_.empty());
}

Result<std::string> Continuation::body(std::string_view asked) const
{
    auto code = boost::system::error_code{};
    auto value = json::parse(asked, code);
    if (code || !value.is_object() || !is_known_) {
        return not_continued();
    }
    auto& body = value.get_object();
    if (has_tokens()) {
        add_said(body, tokens_);
        return json::serialize(body);
    }
    if (text_.empty()) {
        return std::string(asked);
    }
    if (is_whole_ || prescribes_form(body)) {
        return not_continued();
    }
    auto* const messages = body.if_contains("messages");
    if (messages == nullptr || !messages->is_array() || messages->get_array().empty()) {
        return not_continued();
    }
    auto const* const last = messages->get_array().back().if_object();
    auto const* const role = last == nullptr ? nullptr : last->if_contains("role");
    if (role == nullptr || *role == "assistant") {
        return not_continued();
    }
    messages->get_array().push_back(json::object{{"role", "assistant"}, {"content", text_}});
    for (auto const* name : {"max_tokens", "max_completion_tokens"}) {
        auto* const limit = body.if_contains(name);
        auto const most = limit == nullptr ? std::uint64_t{0} : limit->to_number<std::uint64_t>(code);
        if (most > 0) {
            *limit = most > text_tokens_ ? most - text_tokens_ : 1;
        }
    }
    return json::serialize(body);
}

bool is_usage_alone(std::string_view chunk)
{
    auto code = boost::system::error_code{};
    auto const value = json::parse(chunk, code);
    return !code && is_usage_alone(value);
}

}  // namespace plexus::scheduling
