#include "api/anthropic_request.h"

#include <array>

#include <boost/json/serialize.hpp>

#include "api/anthropic_messages.h"
#include "api/chat_messages.h"
#include "api/chat_request.h"
#include "api/json_schema.h"
#include "api/message_parts.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto most_of_engine = double{std::numeric_limits<std::int32_t>::max()};

constexpr auto number_rules = std::array{
    NumberRule{"max_tokens", 1, unlimited, true},
    NumberRule{"temperature", 0, 2, false},
    NumberRule{"top_p", 0, 1, false},
    NumberRule{"top_k", 0, unlimited, true},
};

std::int64_t count_for_engine(json::value const& number)
{
    return static_cast<std::int64_t>(std::min(number.to_number<double>(), most_of_engine));
}

bool is_named(json::value const& tool, std::string_view name)
{
    return text_of(tool.get_object().at("function").get_object(), "name") == name;
}

/// The engine knows no choice by name: the one tool that is named and "required" mean the same.
Check take_choice(json::object const& body, json::array& tools, json::object& task)
{
    auto const* choice = find(body, "tool_choice");
    if (choice == nullptr) {
        return std::nullopt;
    }
    if (!choice->is_object()) {
        return wrong_type("tool_choice", "an object");
    }
    auto const type = text_of(choice->get_object(), "type");
    if (type != "auto" && type != "any" && type != "tool" && type != "none") {
        return invalid_request("tool_choice.type", "'tool_choice.type' must be auto, any, tool or none.");
    }
    auto const name = text_of(choice->get_object(), "name");
    if (type == "tool") {
        auto const others = std::ranges::remove_if(tools,
                                                   [&](json::value const& tool) { return !is_named(tool, name); });
        tools.erase(others.begin(), others.end());
    }
    if (tools.empty() && (type == "any" || type == "tool")) {
        return invalid_request("tool_choice", "'tool_choice' asks for a tool that 'tools' does not have.");
    }
    if (!tools.empty()) {
        task["tool_choice"] = type == "any" || type == "tool" ? std::string_view("required") : type;
        if (flag_of(choice->get_object(), "disable_parallel_tool_use")) {
            task["parallel_tool_calls"] = false;
        }
    }
    return std::nullopt;
}

Check take_stops(json::object const& body, json::object& task)
{
    auto const* stops = find(body, "stop_sequences");
    if (stops == nullptr) {
        return std::nullopt;
    }
    if (!stops->is_array() || stops->get_array().size() > max_stops) {
        return wrong_type("stop_sequences", fmt::format("an array of at most {} strings", max_stops));
    }
    auto kept = json::array{};
    for (auto const& stop : stops->get_array()) {
        if (!stop.is_string()) {
            return wrong_type("stop_sequences", "an array of strings");
        }
        if (!stop.get_string().empty()) {
            kept.push_back(stop);
        }
    }
    task["stop"] = std::move(kept);
    return std::nullopt;
}

Check take_thinking(json::object const& body, json::object& task, AnthropicRequest& request)
{
    auto const* thinking = find(body, "thinking");
    auto type = std::string_view("disabled");
    if (thinking != nullptr) {
        if (!thinking->is_object()) {
            return wrong_type("thinking", "an object");
        }
        auto const& fields = thinking->get_object();
        type = text_of(fields, "type");
        if (type != "enabled" && type != "disabled" && type != "adaptive") {
            return invalid_request("thinking.type", "'thinking.type' must be enabled, disabled or adaptive.");
        }
        if (auto problem = check_number(fields, {"budget_tokens", 1, unlimited, true})) {
            return problem;
        }
        if (auto const* budget = find(fields, "budget_tokens"); budget != nullptr && type == "enabled") {
            task["thinking_budget_tokens"] = count_for_engine(*budget);
        }
        request.shows_thinking = text_of(fields, "display") != "omitted";
    }
    task["chat_template_kwargs"] = json::object{{"enable_thinking", type != "disabled"}};
    return std::nullopt;
}

Check take_effort(json::object const& output, json::object& task)
{
    constexpr auto efforts = std::array<std::string_view, 5>{"low", "medium", "high", "xhigh", "max"};
    auto const* effort = find(output, "effort");
    if (effort == nullptr) {
        return std::nullopt;
    }
    if (!effort->is_string() || std::ranges::find(efforts, effort->get_string()) == efforts.end()) {
        return invalid_request("output_config.effort",
                               "'output_config.effort' must be low, medium, high, xhigh or max.");
    }
    auto const word = std::string_view(effort->get_string());
    task["reasoning_effort"] = word == "low" || word == "medium" ? word : std::string_view("high");
    return std::nullopt;
}

Check take_format(json::value const* format, std::string const& place, json::object& task)
{
    if (format == nullptr) {
        return std::nullopt;
    }
    auto const* schema = format->is_object() ? find(format->get_object(), "schema") : nullptr;
    if (schema == nullptr || !schema->is_object() || text_of(format->get_object(), "type") != "json_schema") {
        return invalid_request(place,
                               fmt::format("'{}' must be of the type json_schema and have an object 'schema'.", place));
    }
    task["response_format"] = schema_format(*schema);
    return check_schema(*schema, place);
}

Check take_output(json::object const& body, json::object& task)
{
    auto const* output = find(body, "output_config");
    if (output != nullptr && !output->is_object()) {
        return wrong_type("output_config", "an object");
    }
    if (auto problem = take_format(find(body, "output_format"), "output_format", task); problem || output == nullptr) {
        return problem;
    }
    if (auto problem = take_effort(output->get_object(), task)) {
        return problem;
    }
    return take_format(find(output->get_object(), "format"), "output_config.format", task);
}

Check take_numbers(json::object const& body, json::object& task, AnthropicUse use)
{
    for (auto const& rule : number_rules) {
        if (auto problem = check_number(body, rule)) {
            return problem;
        }
        if (auto const* value = find(body, rule.name)) {
            task[rule.name] = rule.whole ? json::value(count_for_engine(*value)) : *value;
        }
    }
    if (use == AnthropicUse::message && !task.contains("max_tokens")) {
        return invalid_request("max_tokens", "'max_tokens' is missing.", "missing_field");
    }
    return std::nullopt;
}

Check take_messages(json::object const& body, AnthropicMessages& translation)
{
    if (auto const* system = find(body, "system")) {
        if (auto problem = translation.add_system(*system)) {
            return problem;
        }
    }
    auto const* messages = find(body, "messages");
    if (messages == nullptr) {
        return invalid_request("messages", "'messages' is missing.", "missing_field");
    }
    if (!messages->is_array() || messages->get_array().empty() || messages->get_array().size() > max_messages) {
        return wrong_type("messages", fmt::format("an array of 1 to {} messages", max_messages));
    }
    auto const& list = messages->get_array();
    for (std::size_t index = 0; index < list.size(); ++index) {
        if (auto problem = translation.add_message(list[index], fmt::format("messages.{}", index))) {
            return problem;
        }
    }
    if (translation.messages.size() > max_messages) {
        return invalid_request("messages",
                               fmt::format("'messages' holds more than {} messages and results.", max_messages));
    }
    return std::nullopt;
}

bool is_system(json::value const& message)
{
    return text_of(message.get_object(), "role") == "system";
}

/// The text of a last message of the assistant, which the model goes on with. An empty one is dropped.
std::string take_prefill(json::array& messages)
{
    auto const* last = messages.empty() ? nullptr : &messages.back().get_object();
    if (last == nullptr || text_of(*last, "role") != "assistant" || last->contains("tool_calls")) {
        return {};
    }
    auto text = std::string(text_of(*last, "content"));
    if (text.empty()) {
        messages.pop_back();
    }
    return text;
}

}  // namespace

std::expected<AnthropicRequest, Problem> parse_anthropic_request(std::string_view text, AnthropicUse use)
{
    auto parsed = parse_fields(text);
    if (!parsed) {
        return std::unexpected(std::move(parsed.error()));
    }
    auto& body = *parsed;
    auto request = AnthropicRequest{};
    auto translation = AnthropicMessages{};
    auto task = json::object{{"stream", true}, {"stream_options", json::object{{"include_usage", true}}}};
    auto problem = check_model(body);
    problem = problem ? problem : check_flag(body, "stream");
    problem = problem ? problem : take_numbers(body, task, use);
    problem = problem ? problem : take_stops(body, task);
    problem = problem ? problem : take_thinking(body, task, request);
    problem = problem ? problem : take_output(body, task);
    problem = problem ? problem : translation.add_tools(body);
    problem = problem ? problem : take_choice(body, translation.tools, task);
    problem = problem ? problem : take_messages(body, translation);
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    request.model = body.at("model").get_string();
    request.stream = flag_of(body, "stream");
    request.prefill = take_prefill(translation.messages);
    if (std::ranges::all_of(translation.messages, is_system)) {
        return std::unexpected(invalid_request("messages", "'messages' holds nothing to answer."));
    }
    request.left_out.assign(translation.left_out.begin(), translation.left_out.end());
    if (!translation.tools.empty()) {
        task["tools"] = std::move(translation.tools);
    }
    task["model"] = request.model;
    task["messages"] = std::move(translation.messages);
    request.task_body = json::serialize(task);
    return request;
}

}  // namespace plexus::api
