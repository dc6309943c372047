#include "api/responses_request.h"

#include <array>

#include <boost/json/value.hpp>

#include "api/chat_tools.h"
#include "api/responses_items.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto number_rules = std::array{
    NumberRule{"temperature", 0, 2, false},           NumberRule{"top_p", 0, 1, false},
    NumberRule{"presence_penalty", -2, 2, false},     NumberRule{"frequency_penalty", -2, 2, false},
    NumberRule{"top_logprobs", 0, 20, true},          NumberRule{"max_output_tokens", 1, unlimited, true},
    NumberRule{"max_tool_calls", 1, unlimited, true}, NumberRule{"seed", -unlimited, unlimited, true},
};
constexpr auto flags = std::array<std::string_view, 4>{"stream", "store", "background", "parallel_tool_calls"};
constexpr auto texts = std::array<std::string_view, 5>{"instructions", "previous_response_id", "user",
                                                       "prompt_cache_key", "safety_identifier"};
constexpr auto truncations = std::array<std::string_view, 2>{"auto", "disabled"};
constexpr auto tiers = std::array<std::string_view, 5>{"auto", "default", "flex", "scale", "priority"};
/// Of the request, to the chat body as they are.
constexpr auto same_in_chat = std::array<std::string_view, 7>{
    "model", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "parallel_tool_calls"};

Check check_fields(json::object const& body)
{
    auto problem = check_numbers(body, number_rules);
    problem = problem ? problem : check_flags(body, flags);
    problem = problem ? problem : check_texts(body, texts);
    if (problem) {
        return problem;
    }
    for (auto const name : {"text", "reasoning", "metadata"}) {
        if (auto const* value = body.if_contains(name); value != nullptr && !value->is_object()) {
            return wrong_type(name, "an object");
        }
    }
    problem = check_word(body, "truncation", truncations);
    return problem ? problem : check_word(body, "service_tier", tiers);
}

Check check_unsupported(json::object const& body)
{
    if (flag_of(body, "background")) {
        return invalid_request("background", "Responses are not made in the background here; stream them instead.",
                               "unsupported_parameter");
    }
    for (auto const name : {"conversation", "prompt"}) {
        if (body.contains(name)) {
            return invalid_request(name,
                                   fmt::format("'{}' is not kept here; send 'input' or 'previous_response_id'.", name),
                                   "unsupported_parameter");
        }
    }
    return std::nullopt;
}

/// {"type":"function","name":…} as chat bodies have it.
json::object chat_tool_from(json::object const& tool)
{
    auto function = json::object{};
    for (auto const name : {"name", "description", "parameters", "strict"}) {
        if (auto const* value = find(tool, name)) {
            function[name] = *value;
        }
    }
    return {{"type", "function"}, {"function", std::move(function)}};
}

Check take_tools(json::object const& body, ResponsesRequest& request)
{
    auto const* tools = body.if_contains("tools");
    if (tools == nullptr) {
        return std::nullopt;
    }
    if (!tools->is_array() || tools->get_array().size() > max_tools) {
        return wrong_type("tools", fmt::format("an array of at most {} tools", max_tools));
    }
    auto kept = json::array{};
    auto shown = json::array{};
    for (auto const& tool : tools->get_array()) {
        auto const type = tool.is_object() ? text_of(tool.get_object(), "type") : std::string_view();
        if (type.empty()) {
            return wrong_type("tools", "an array of objects with a 'type'");
        }
        if (type != "function") {
            request.left_out.emplace_back(type.substr(0, 64));
            continue;
        }
        if (text_of(tool.get_object(), "name").empty()) {
            return invalid_request("tools", "A tool of the type 'function' must have a 'name'.");
        }
        kept.emplace_back(chat_tool_from(tool.get_object()));
        auto repeated = json::object{
            {"type", "function"}, {"description", nullptr}, {"parameters", nullptr}, {"strict", false}};
        for (auto const& field : tool.get_object()) {
            repeated[field.key()] = field.value();
        }
        shown.emplace_back(std::move(repeated));
    }
    if (!kept.empty()) {
        request.chat["tools"] = std::move(kept);
    }
    request.shown["tools"] = std::move(shown);
    return std::nullopt;
}

/// {"type":"allowed_tools","mode":…,"tools":[{"type":"function","name":…}]} as chat bodies have it.
json::object allowed_tools_from(json::object const& choice)
{
    auto tools = json::array{};
    if (auto const* list = find(choice, "tools"); list != nullptr && list->is_array()) {
        for (auto const& tool : list->get_array()) {
            if (tool.is_object() && text_of(tool.get_object(), "type") == "function") {
                tools.emplace_back(chat_tool_from(tool.get_object()));
            }
        }
    }
    return {{"type", "allowed_tools"},
            {"allowed_tools", {{"mode", text_of(choice, "mode")}, {"tools", std::move(tools)}}}};
}

Check take_tool_choice(json::object const& body, ResponsesRequest& request)
{
    auto const* choice = body.if_contains("tool_choice");
    if (choice == nullptr) {
        return std::nullopt;
    }
    request.shown["tool_choice"] = *choice;
    if (!choice->is_object()) {
        // Without a tool left, "required" cannot be met.
        auto const counts = request.chat.contains("tools") || request.left_out.empty() || !choice->is_string();
        if (counts) {
            request.chat["tool_choice"] = *choice;
        }
        return std::nullopt;
    }
    auto const type = text_of(choice->get_object(), "type");
    if (type == "function") {
        request.chat["tool_choice"] = chat_tool_from(choice->get_object());
    } else if (type == "allowed_tools") {
        request.chat["tool_choice"] = allowed_tools_from(choice->get_object());
    } else if (type.empty()) {
        return wrong_type("tool_choice", "a string or an object with a 'type'");
    } else {
        request.left_out.emplace_back(type.substr(0, 64));
    }
    return std::nullopt;
}

/// `text.format` as `response_format`.
Check take_format(json::object const& body, ResponsesRequest& request)
{
    auto const* text = find(body, "text");
    auto const* format = text == nullptr ? nullptr : find(text->get_object(), "format");
    if (format == nullptr) {
        return std::nullopt;
    }
    if (!format->is_object()) {
        return wrong_type("text.format", "an object with a 'type'");
    }
    auto const& fields = format->get_object();
    auto written = json::object{{"type", text_of(fields, "type")}};
    if (text_of(fields, "type") == "json_schema") {
        auto const* schema = find(fields, "schema");
        if (schema == nullptr || text_of(fields, "name").empty()) {
            return wrong_type("text.format", "an object with 'name' and 'schema' for json_schema");
        }
        written["json_schema"] = json::object{
            {"name", text_of(fields, "name")}, {"schema", *schema}, {"strict", flag_of(fields, "strict")}};
    }
    request.chat["response_format"] = std::move(written);
    return std::nullopt;
}

void take_reasoning(json::object const& body, ResponsesRequest& request)
{
    auto const* reasoning = find(body, "reasoning");
    auto const* effort = reasoning == nullptr ? nullptr : find(reasoning->get_object(), "effort");
    if (effort != nullptr) {
        request.chat["reasoning_effort"] = *effort;
    }
}

void take_simple_fields(json::object const& body, ResponsesRequest& request)
{
    for (auto const name : same_in_chat) {
        if (auto const* value = body.if_contains(name)) {
            request.chat[name] = *value;
        }
    }
    if (auto const* most = body.if_contains("max_output_tokens")) {
        request.chat["max_tokens"] = *most;
    }
    for (auto const name : {"instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
                            "previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "temperature",
                            "text", "top_p", "presence_penalty", "frequency_penalty", "truncation", "user"}) {
        if (auto const* value = body.if_contains(name)) {
            request.shown[name] = *value;
        }
    }
    request.model = body.at("model").get_string();
    request.stream = flag_of(body, "stream");
    request.store = !body.contains("store") || flag_of(body, "store");
    request.instructions = text_of(body, "instructions");
    request.previous_id = text_of(body, "previous_response_id");
}

/// Problems of the chat body in the words of this route.
Problem in_own_words(Problem problem)
{
    auto const names = std::array<std::pair<std::string_view, std::string_view>, 4>{
        {{"messages", "input"},
         {"response_format", "text.format"},
         {"reasoning_effort", "reasoning.effort"},
         {"max_tokens", "max_output_tokens"}}};
    for (auto const& [chat, own] : names) {
        if (problem.param.starts_with(chat)) {
            problem.param = own;
        }
    }
    return problem;
}

}  // namespace

std::expected<ResponsesRequest, Problem> parse_responses_request(std::string_view text)
{
    auto body = parse_fields(text);
    if (!body) {
        return std::unexpected(std::move(body.error()));
    }
    auto request = ResponsesRequest{};
    auto problem = check_model(*body);
    problem = problem ? problem : check_fields(*body);
    problem = problem ? problem : check_unsupported(*body);
    problem = problem ? problem : take_tools(*body, request);
    problem = problem ? problem : take_tool_choice(*body, request);
    problem = problem ? problem : take_format(*body, request);
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    take_reasoning(*body, request);
    take_simple_fields(*body, request);
    auto const* input = body->if_contains("input");
    if (input == nullptr && request.previous_id.empty()) {
        return std::unexpected(invalid_request("input", "'input' is missing.", "missing_field"));
    }
    auto items = input == nullptr ? json::array{} : items_from_input(*input, request.left_out);
    if (!items) {
        return std::unexpected(std::move(items.error()));
    }
    request.items = std::move(*items);
    return request;
}

std::expected<ChatRequest, Problem> chat_request_from(ResponsesRequest const& request, json::array const& before)
{
    auto items = before;
    items.insert(items.end(), request.items.begin(), request.items.end());
    auto messages = messages_from_items(request.instructions, items);
    if (!messages) {
        return std::unexpected(std::move(messages.error()));
    }
    auto body = request.chat;
    body["messages"] = std::move(*messages);
    auto chat = check_chat_request(std::move(body));
    if (!chat) {
        return std::unexpected(in_own_words(std::move(chat.error())));
    }
    return chat;
}

}  // namespace plexus::api
