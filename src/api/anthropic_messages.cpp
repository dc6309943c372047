#include "api/anthropic_messages.h"

#include <array>

#include <boost/json/value.hpp>

#include "api/chat_tools.h"
#include "api/json_schema.h"
#include "api/message_parts.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

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

}  // namespace

/// Two messages of one role in a row are one: many chat templates accept no others.
void AnthropicMessages::add(json::object message, json::array parts)
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

Check AnthropicMessages::add_image(json::object const& block, std::string const& place, json::array& parts)
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

Check AnthropicMessages::add_document(json::object const& block, std::string const& place, json::array& parts)
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

Check AnthropicMessages::add_search_result(json::object const& block, std::string const& place, json::array& parts)
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

Check AnthropicMessages::add_part(json::object const& block, std::string const& place, json::array& parts)
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

Check AnthropicMessages::add_parts(json::value const& content, std::string const& place, json::array& parts)
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

Check AnthropicMessages::add_system(json::value const& system)
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

Check AnthropicMessages::add_result(json::object const& block, std::string const& place)
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

Check AnthropicMessages::add_user(json::array const& blocks, std::string const& place)
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

Check AnthropicMessages::add_assistant_block(json::object const& block, std::string const& place, json::object& message)
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

Check AnthropicMessages::add_assistant(json::array const& blocks, std::string const& place)
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

Check AnthropicMessages::add_message(json::value const& message, std::string const& place)
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

Check AnthropicMessages::add_tools(json::object const& body)
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
        if (auto problem = check_schema(*schema, place + ".input_schema")) {
            return problem;
        }
        auto function = json::object{{"name", text_of(tool, "name")}, {"parameters", *schema}};
        if (auto const description = text_of(tool, "description"); !description.empty()) {
            function["description"] = description;
        }
        tools.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
        return Check();
    });
}

}  // namespace plexus::api
