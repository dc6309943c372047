#include "api/anthropic_request.h"

#include <array>
#include <set>

#include <boost/json/serialize.hpp>

#include "api/message_parts.h"
#include "api/chat_request.h"

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

constexpr auto media_types = std::array<std::string_view, 4>{"image/jpeg", "image/png", "image/gif", "image/webp"};

/// Blocks of an earlier answer that tell of tools which ran at Anthropic's.
constexpr auto server_blocks = std::array<std::string_view, 9>{
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_use",
    "mcp_tool_result",
};

template <std::size_t count>
bool is_one_of(std::string_view word, std::array<std::string_view, count> const& words)
{
    return std::ranges::find(words, word) != words.end();
}

std::int64_t count_for_engine(json::value const& number)
{
    return static_cast<std::int64_t>(std::min(number.to_number<double>(), most_of_engine));
}

/// Turns the messages into those of a chat body.
class Translation {
public:
    Check add_system(json::value const& system);
    Check add_message(json::value const& message, std::string const& place);
    Check add_tools(json::object const& body);

    json::array messages;
    json::array tools;
    std::set<std::string> left_out;

private:
    Check add_part(json::object const& block, std::string const& place, json::array& parts);
    Check add_image(json::object const& block, std::string const& place, json::array& parts);
    Check add_document(json::object const& block, std::string const& place, json::array& parts);
    Check add_search_result(json::object const& block, std::string const& place, json::array& parts);
    Check add_parts(json::value const& content, std::string const& place, json::array& parts);
    Check add_user(json::array const& blocks, std::string const& place);
    Check add_result(json::object const& block, std::string const& place);
    Check add_assistant(json::array const& blocks, std::string const& place);
    Check add_assistant_block(json::object const& block, std::string const& place, json::object& message);
    void add(json::object message, json::array parts);

    json::array parts_of_last_;  // of the last message, while more of the same role may join it
};

Check unknown_block(std::string const& place, std::string_view type)
{
    return invalid_request(place,
                           fmt::format("'{}' is a block of the type '{}', which is not known here.", place, type));
}

/// Calls `each` with every block of an array, which must hold objects.
template <typename Each>
Check for_blocks(json::array const& blocks, std::string const& place, Each each)
{
    for (std::size_t index = 0; index < blocks.size(); ++index) {
        auto const inner = fmt::format("{}.{}", place, index);
        if (!blocks[index].is_object()) {
            return wrong_type(inner, "an object");
        }
        if (auto problem = each(blocks[index].get_object(), inner)) {
            return problem;
        }
    }
    return std::nullopt;
}

/// Two messages of one role in a row are one: many chat templates accept no others.
void Translation::add(json::object message, json::array parts)
{
    auto const separator = message["role"] == "assistant" ? "" : "\n";
    auto* last = messages.empty() ? nullptr : &messages.back().get_object();
    auto const joins = last != nullptr && (*last)["role"] == message["role"] && message["role"] != "tool" &&
                       !last->contains("tool_calls");
    if (!joins) {
        parts_of_last_ = std::move(parts);
        message["content"] = content_of(parts_of_last_, separator);
        messages.push_back(std::move(message));
        return;
    }
    parts_of_last_.insert(parts_of_last_.end(), parts.begin(), parts.end());
    for (auto const& field : message) {
        (*last)[field.key()] = field.value();
    }
    (*last)["content"] = content_of(parts_of_last_, separator);
}

Check Translation::add_image(json::object const& block, std::string const& place, json::array& parts)
{
    auto const* source = find(block, "source");
    if (source == nullptr || !source->is_object()) {
        return wrong_type(place + ".source", "an object");
    }
    auto const type = text_of(source->get_object(), "type");
    if (type != "base64") {
        return invalid_request(place + ".source", fmt::format("'{}.source' must be of the type base64: nothing is "
                                                              "fetched here.",
                                                              place));
    }
    auto const media_type = text_of(source->get_object(), "media_type");
    if (!is_one_of(media_type, media_types)) {
        return invalid_request(place + ".source.media_type",
                               fmt::format("'{}.source.media_type' must be image/jpeg, image/png, image/gif or "
                                           "image/webp.",
                                           place));
    }
    auto const* data = find(source->get_object(), "data");
    if (data == nullptr || !data->is_string()) {
        return wrong_type(place + ".source.data", "a string");
    }
    parts.push_back(image_part(data->get_string(), media_type));
    return std::nullopt;
}

Check Translation::add_document(json::object const& block, std::string const& place, json::array& parts)
{
    auto const* source = find(block, "source");
    auto const type = source != nullptr && source->is_object() ? text_of(source->get_object(), "type") : "";
    auto const* text = type == "text"      ? find(source->get_object(), "data")
                       : type == "content" ? find(source->get_object(), "content")
                                           : nullptr;
    if (text == nullptr || !text->is_string()) {
        return invalid_request(place + ".source", fmt::format("'{}.source' must hold plain text: documents of other "
                                                              "kinds are not read here.",
                                                              place));
    }
    auto const title = text_of(block, "title");
    parts.push_back(text_part(title.empty() ? std::string(text->get_string())
                                            : fmt::format("{}\n{}", title, std::string_view(text->get_string()))));
    return std::nullopt;
}

Check Translation::add_search_result(json::object const& block, std::string const& place, json::array& parts)
{
    parts.push_back(text_part(fmt::format("{} ({})", text_of(block, "title"), text_of(block, "source"))));
    auto const* content = find(block, "content");
    if (content == nullptr || !content->is_array()) {
        return wrong_type(place + ".content", "an array");
    }
    return for_blocks(content->get_array(), place + ".content", [&](json::object const& inner, std::string const& at) {
        auto const* text = find(inner, "text");
        if (text == nullptr || !text->is_string()) {
            return Check(wrong_type(at + ".text", "a string"));
        }
        parts.push_back(text_part(text->get_string()));
        return Check();
    });
}

Check Translation::add_part(json::object const& block, std::string const& place, json::array& parts)
{
    auto const type = text_of(block, "type");
    if (type == "image") {
        return add_image(block, place, parts);
    }
    if (type == "document") {
        return add_document(block, place, parts);
    }
    if (type == "search_result") {
        return add_search_result(block, place, parts);
    }
    if (type != "text") {
        return unknown_block(place, type);
    }
    auto const* text = find(block, "text");
    if (text == nullptr || !text->is_string()) {
        return wrong_type(place + ".text", "a string");
    }
    parts.push_back(text_part(text->get_string()));
    return std::nullopt;
}

Check Translation::add_parts(json::value const& content, std::string const& place, json::array& parts)
{
    if (content.is_string()) {
        parts.push_back(text_part(content.get_string()));
        return std::nullopt;
    }
    if (!content.is_array()) {
        return wrong_type(place, "a string or an array of blocks");
    }
    return for_blocks(content.get_array(), place,
                      [&](json::object const& block, std::string const& at) { return add_part(block, at, parts); });
}

Check Translation::add_system(json::value const& system)
{
    auto parts = json::array{};
    if (auto problem = add_parts(system, "system", parts)) {
        return problem;
    }
    if (!parts.empty()) {
        add({{"role", "system"}}, std::move(parts));
    }
    return std::nullopt;
}

Check Translation::add_result(json::object const& block, std::string const& place)
{
    auto const id = text_of(block, "tool_use_id");
    if (id.empty()) {
        return wrong_type(place + ".tool_use_id", "a string");
    }
    auto parts = json::array{};
    if (flag_of(block, "is_error")) {
        parts.push_back(text_part("The tool failed:"));
    }
    auto const* content = find(block, "content");
    if (content != nullptr) {
        if (auto problem = add_parts(*content, place + ".content", parts)) {
            return problem;
        }
    }
    add({{"role", "tool"}, {"tool_call_id", id}}, std::move(parts));
    return std::nullopt;
}

Check Translation::add_user(json::array const& blocks, std::string const& place)
{
    auto parts = json::array{};
    auto problem = for_blocks(blocks, place, [&](json::object const& block, std::string const& at) {
        auto const type = text_of(block, "type");
        if (type == "tool_result") {
            return add_result(block, at);
        }
        if (is_one_of(type, server_blocks)) {
            left_out.emplace(type);
            return Check();
        }
        return add_part(block, at, parts);
    });
    if (!problem && !parts.empty()) {
        add({{"role", "user"}}, std::move(parts));
    }
    return problem;
}

Check Translation::add_assistant_block(json::object const& block, std::string const& place, json::object& message)
{
    auto const type = text_of(block, "type");
    if (type == "thinking") {
        auto reasoning = std::string(text_of(message, "reasoning_content"));
        message["reasoning_content"] = reasoning.append(text_of(block, "thinking"));
        return std::nullopt;
    }
    if (type == "redacted_thinking") {
        return std::nullopt;
    }
    if (is_one_of(type, server_blocks)) {
        left_out.emplace(type);
        return std::nullopt;
    }
    if (type != "tool_use") {
        return unknown_block(place, type);
    }
    auto const* input = find(block, "input");
    auto const name = text_of(block, "name");
    if (name.empty() || text_of(block, "id").empty() || (input != nullptr && !input->is_object())) {
        return invalid_request(place, fmt::format("'{}' must have an 'id', a 'name' and an object 'input'.", place));
    }
    auto& calls = message["tool_calls"];
    if (!calls.is_array()) {
        calls.emplace_array();
    }
    calls.get_array().push_back(
        function_call(text_of(block, "id"), name, input == nullptr ? json::value(json::object{}) : *input));
    return std::nullopt;
}

Check Translation::add_assistant(json::array const& blocks, std::string const& place)
{
    auto parts = json::array{};
    auto message = json::object{{"role", "assistant"}};
    auto problem = for_blocks(blocks, place, [&](json::object const& block, std::string const& at) {
        auto const is_text = text_of(block, "type") == "text";
        return is_text ? add_part(block, at, parts) : add_assistant_block(block, at, message);
    });
    if (!problem && (!parts.empty() || message.size() > 1)) {
        add(std::move(message), std::move(parts));
    }
    return problem;
}

Check Translation::add_message(json::value const& message, std::string const& place)
{
    if (!message.is_object()) {
        return wrong_type(place, "an object");
    }
    auto const role = text_of(message.get_object(), "role");
    if (role != "user" && role != "assistant" && role != "system") {
        return invalid_request(place + ".role", fmt::format("'{}.role' must be user, assistant or system.", place));
    }
    auto const* content = find(message.get_object(), "content");
    if (content == nullptr || (!content->is_string() && !content->is_array())) {
        return wrong_type(place + ".content", "a string or an array of blocks");
    }
    if (role == "system") {
        return add_system(*content);
    }
    auto const blocks = content->is_string() ? json::array{text_part(content->get_string())} : content->get_array();
    return role == "user" ? add_user(blocks, place + ".content") : add_assistant(blocks, place + ".content");
}

Check Translation::add_tools(json::object const& body)
{
    auto const* list = find(body, "tools");
    if (list == nullptr) {
        return std::nullopt;
    }
    if (!list->is_array() || list->get_array().size() > max_tools) {
        return wrong_type("tools", fmt::format("an array of at most {} tools", max_tools));
    }
    return for_blocks(list->get_array(), "tools", [&](json::object const& tool, std::string const& place) {
        if (auto const type = text_of(tool, "type"); !type.empty() && type != "custom") {
            left_out.emplace(type);
            return Check();
        }
        auto const* schema = find(tool, "input_schema");
        if (text_of(tool, "name").empty() || schema == nullptr || !schema->is_object()) {
            return Check(
                invalid_request(place, fmt::format("'{}' must have a 'name' and an object 'input_schema'.", place)));
        }
        auto function = json::object{{"name", text_of(tool, "name")}, {"parameters", *schema}};
        if (auto const description = text_of(tool, "description"); !description.empty()) {
            function["description"] = description;
        }
        tools.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
        return Check();
    });
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
    if (!effort->is_string() || !is_one_of(effort->get_string(), efforts)) {
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
    return std::nullopt;
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

Check take_messages(json::object const& body, Translation& translation)
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
        return invalid_request("messages", fmt::format("'messages' holds more than {} messages and results.", max_messages));
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
    auto parsed = parse_object(text);
    if (!parsed) {
        return std::unexpected(std::move(parsed.error()));
    }
    auto& body = *parsed;
    drop_nulls(body);
    auto request = AnthropicRequest{};
    auto translation = Translation{};
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
