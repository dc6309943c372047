#include "api/chat_request.h"

#include <array>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto most_of_engine = std::int64_t{std::numeric_limits<std::int32_t>::max()};

constexpr auto number_rules = std::array{
    NumberRule{"temperature", 0, 2, false},        NumberRule{"top_p", 0, 1, false},
    NumberRule{"min_p", 0, 1, false},              NumberRule{"top_k", -1, unlimited, true},
    NumberRule{"presence_penalty", -2, 2, false},  NumberRule{"frequency_penalty", -2, 2, false},
    NumberRule{"repeat_penalty", 0, 10, false},    NumberRule{"max_tokens", 1, unlimited, true},
    NumberRule{"n", 1, 1, true},                   NumberRule{"max_completion_tokens", 1, unlimited, true},
    NumberRule{"top_logprobs", 0, 20, true},       NumberRule{"seed", -unlimited, unlimited, true},
};

constexpr auto flags = std::array<std::string_view, 3>{"stream", "logprobs", "parallel_tool_calls"};
constexpr auto texts = std::array<std::string_view, 3>{"user", "reasoning_effort", "service_tier"};
constexpr auto roles = std::array<std::string_view, 6>{"system", "developer", "user", "assistant", "tool", "function"};

/// Programs ask for more tokens than any context holds and mean "as many as there are"; the engine would refuse that.
void clamp_counts(json::object& body)
{
    for (auto const name : {"max_tokens", "max_completion_tokens", "top_k"}) {
        auto* value = body.if_contains(name);
        if (value != nullptr && value->to_number<double>() > static_cast<double>(most_of_engine)) {
            *value = most_of_engine;
        }
    }
}

Check check_stop(json::object const& body)
{
    auto const* stop = body.if_contains("stop");
    if (stop == nullptr || stop->is_string()) {
        return std::nullopt;
    }
    if (!stop->is_array()) {
        return wrong_type("stop", "a string or an array of strings");
    }
    if (stop->get_array().size() > max_stops) {
        return invalid_request("stop", fmt::format("'stop' may hold at most {} strings.", max_stops));
    }
    for (auto const& each : stop->get_array()) {
        if (!each.is_string()) {
            return wrong_type("stop", "a string or an array of strings");
        }
    }
    return std::nullopt;
}

/// Every text ends with the empty one, so to the engine it means: no answer. Clients mean: no stop.
void drop_empty_stops(json::object& body)
{
    auto* stop = body.if_contains("stop");
    if (stop != nullptr && stop->is_array()) {
        auto& list = stop->get_array();
        list.erase(std::remove(list.begin(), list.end(), json::value("")), list.end());
    } else if (stop != nullptr && stop->get_string().empty()) {
        body.erase("stop");
    }
}

Check check_content(json::value const* content, std::string const& place)
{
    if (content == nullptr || content->is_string() || content->is_null()) {
        return std::nullopt;
    }
    if (!content->is_array()) {
        return wrong_type(place + ".content", "a string or an array of parts");
    }
    for (auto const& part : content->get_array()) {
        auto const* type = part.is_object() ? part.get_object().if_contains("type") : nullptr;
        if (type == nullptr || !type->is_string()) {
            return wrong_type(place + ".content", "a string or an array of parts with a 'type'");
        }
        auto const* text = part.get_object().if_contains("text");
        if (type->get_string() == "text" && (text == nullptr || !text->is_string())) {
            return wrong_type(place + ".content", "made of text parts that have a string 'text'");
        }
    }
    return std::nullopt;
}

std::string_view function_name(json::value const& tool)
{
    auto code = boost::system::error_code{};
    auto const* name = tool.find_pointer("/function/name", code);
    return name != nullptr && name->is_string() ? std::string_view(name->get_string()) : std::string_view();
}

/// True for a tool, or the call of one: {"type":"function","function":{"name":…}}.
bool names_function(json::value const& tool)
{
    auto const* type = tool.is_object() ? tool.get_object().if_contains("type") : nullptr;
    return type != nullptr && type->is_string() && type->get_string() == "function" && !function_name(tool).empty();
}

Check check_message(json::value& message, std::size_t index)
{
    auto const place = fmt::format("messages[{}]", index);
    if (!message.is_object()) {
        return wrong_type(place, "an object");
    }
    auto& fields = message.get_object();
    auto* role = fields.if_contains("role");
    if (role == nullptr || !role->is_string()) {
        return wrong_type(place + ".role", "a string");
    }
    auto const name = std::string_view(role->get_string());
    if (std::ranges::find(roles, name) == roles.end()) {
        return invalid_request(place + ".role", fmt::format("'{}.role' must be system, developer, user, assistant or "
                                                            "tool.", place));
    }
    auto const* calls = fields.if_contains("tool_calls");
    if (calls != nullptr && !calls->is_null() &&
        (!calls->is_array() || !std::ranges::all_of(calls->get_array(), names_function))) {
        return wrong_type(place + ".tool_calls", "an array of calls of the type 'function' with a name");
    }
    if (fields.if_contains("content") == nullptr && calls == nullptr) {
        return invalid_request(place + ".content", fmt::format("'{}' has no content.", place), "missing_field");
    }
    if (name == "developer") {
        *role = "system";
    }
    return check_content(fields.if_contains("content"), place);
}

Check check_messages(json::object& body)
{
    auto* messages = body.if_contains("messages");
    if (messages == nullptr) {
        return invalid_request("messages", "'messages' is missing.", "missing_field");
    }
    if (!messages->is_array()) {
        return wrong_type("messages", "an array");
    }
    auto& list = messages->get_array();
    if (list.empty() || list.size() > max_messages) {
        return invalid_request("messages", fmt::format("'messages' must hold 1 to {} messages.", max_messages));
    }
    for (std::size_t index = 0; index < list.size(); ++index) {
        if (auto problem = check_message(list[index], index)) {
            return problem;
        }
    }
    return std::nullopt;
}

Check check_tools(json::object const& body)
{
    if (auto const* tools = body.if_contains("tools")) {
        if (!tools->is_array() || tools->get_array().size() > max_tools) {
            return wrong_type("tools", fmt::format("an array of at most {} tools", max_tools));
        }
        if (!std::ranges::all_of(tools->get_array(), names_function)) {
            return invalid_request("tools", "'tools' must hold tools of the type 'function' with a name.");
        }
    }
    if (auto const* choice = body.if_contains("tool_choice"); choice != nullptr && !choice->is_object()) {
        if (!choice->is_string()) {
            return wrong_type("tool_choice", "a string or an object");
        }
        auto const name = std::string_view(choice->get_string());
        if (name != "none" && name != "auto" && name != "required") {
            return invalid_request("tool_choice", "'tool_choice' must be none, auto, required or name a function.");
        }
    }
    return std::nullopt;
}

/// The engine knows no choice by name: the one tool that is named and "required" mean the same.
Check take_named_tool(json::object& body)
{
    auto* choice = body.if_contains("tool_choice");
    if (choice == nullptr || !choice->is_object()) {
        return std::nullopt;
    }
    auto const wanted = std::string(function_name(*choice));
    auto* tools = body.if_contains("tools");
    auto chosen = json::array{};
    if (tools != nullptr && !wanted.empty()) {
        std::ranges::copy_if(tools->get_array(), std::back_inserter(chosen),
                             [&](json::value const& tool) { return function_name(tool) == wanted; });
    }
    if (chosen.empty()) {
        return invalid_request("tool_choice", "'tool_choice' must name a function of 'tools'.");
    }
    *tools = std::move(chosen);
    *choice = "required";
    return std::nullopt;
}

Check check_format(json::object const& body)
{
    auto const* format = body.if_contains("response_format");
    if (format == nullptr) {
        return std::nullopt;
    }
    auto const* type = format->is_object() ? format->get_object().if_contains("type") : nullptr;
    if (type == nullptr || !type->is_string()) {
        return wrong_type("response_format", "an object with a 'type'");
    }
    auto const name = std::string_view(type->get_string());
    if (name != "text" && name != "json_object" && name != "json_schema") {
        return invalid_request("response_format", "'response_format.type' must be text, json_object or json_schema.");
    }
    return std::nullopt;
}

Check check_simple_fields(json::object const& body)
{
    for (auto const& rule : number_rules) {
        if (auto problem = check_number(body, rule)) {
            return problem;
        }
    }
    for (auto const name : flags) {
        if (auto problem = check_flag(body, name)) {
            return problem;
        }
    }
    for (auto const name : texts) {
        if (auto problem = check_text(body, name)) {
            return problem;
        }
    }
    return std::nullopt;
}

/// Takes `stream_options` out of what the client asked for and sets what the mesh needs.
Check take_stream_options(json::object& body, ChatRequest& request)
{
    auto const* stream = body.if_contains("stream");
    request.stream = stream != nullptr && stream->get_bool();
    if (auto const* options = body.if_contains("stream_options")) {
        if (!options->is_object()) {
            return wrong_type("stream_options", "an object");
        }
        auto const* usage = options->get_object().if_contains("include_usage");
        if (usage != nullptr && !usage->is_bool()) {
            return wrong_type("stream_options.include_usage", "true or false");
        }
        if (!request.stream) {
            return invalid_request("stream_options", "'stream_options' needs 'stream' to be true.");
        }
        request.include_usage = usage != nullptr && usage->get_bool();
    }
    body["stream"] = true;
    body["stream_options"] = json::object{{"include_usage", true}};
    return std::nullopt;
}

}  // namespace

std::expected<ChatRequest, Problem> parse_chat_request(std::string_view text)
{
    auto parsed = parse_object(text);
    if (!parsed) {
        return std::unexpected(std::move(parsed.error()));
    }
    auto& body = *parsed;
    drop_nulls(body);
    for (auto const check : {check_model, check_simple_fields, check_stop, check_tools, check_format}) {
        if (auto problem = check(body)) {
            return std::unexpected(std::move(*problem));
        }
    }
    for (auto const check : {take_named_tool, check_messages}) {
        if (auto problem = check(body)) {
            return std::unexpected(std::move(*problem));
        }
    }
    clamp_counts(body);
    drop_empty_stops(body);
    auto request = ChatRequest{};
    if (auto problem = take_stream_options(body, request)) {
        return std::unexpected(std::move(*problem));
    }
    request.model = body.at("model").get_string();
    request.task_body = json::serialize(body);
    return request;
}

}  // namespace plexus::api
