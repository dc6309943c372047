#include "scheduling/continuation.h"

#include <boost/json.hpp>

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

bool prescribes_form(json::object const& body)
{
    constexpr auto names = std::array<std::string_view, 4>{"response_format", "json_schema", "grammar", "logprobs"};
    return std::ranges::any_of(names, [&](auto name) { return is_set(body, name); });
}

std::unexpected<Error> not_continued()
{
    return fail(ErrorKind::closed, "an answer of this kind is not continued");
}

}  // namespace

void Continuation::note(std::string_view chunk)
{
    if (!is_plain_) {
        return;
    }
    auto code = boost::system::error_code{};
    auto value = json::parse(chunk, code);
    auto* const delta = code ? nullptr : delta_of(value);
    if (delta == nullptr) {
        return;
    }
    auto const& choice = value.at_pointer("/choices/0").as_object();
    constexpr auto other = std::array<std::string_view, 4>{"tool_calls", "function_call", "reasoning_content",
                                                           "reasoning"};
    is_plain_ = std::ranges::none_of(other, [&](auto name) { return is_set(*delta, name); }) &&
                !is_set(choice, "finish_reason");
    auto const* content = delta->if_contains("content");
    if (content != nullptr && content->is_string() && !content->get_string().empty()) {
        text_ += content->get_string();
        ++tokens_;
    }
    is_plain_ = is_plain_ && text_.size() <= max_continued_bytes;
}

Result<std::string> Continuation::body(std::string_view asked) const
{
    auto code = boost::system::error_code{};
    auto value = json::parse(asked, code);
    if (code || !value.is_object() || !is_plain_ || text_.empty() || prescribes_form(value.get_object())) {
        return not_continued();
    }
    auto& body = value.get_object();
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
            *limit = most > tokens_ ? most - tokens_ : 1;
        }
    }
    return json::serialize(body);
}

}  // namespace plexus::scheduling
