#include "api/responses_items.h"

#include <array>

#include <boost/json/value.hpp>

#include "api/base64.h"
#include "base/text.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto known_items = std::array<std::string_view, 6>{"message",   "function_call",  "function_call_output",
                                                             "reasoning", "item_reference", "compaction"};
constexpr auto roles = std::array<std::string_view, 4>{"user", "assistant", "system", "developer"};

Problem wrong_input(std::string text)
{
    return invalid_request("input", std::move(text));
}

/// Calls of tools that only others have: web_search_call, custom_tool_call_output, mcp_list_tools.
bool is_foreign(std::string_view type)
{
    return type.ends_with("_call") || type.ends_with("_call_output") || type.starts_with("mcp_");
}

/// The texts of parts, one after another.
std::string joined_text(json::object const& item, std::string_view field)
{
    auto const* content = find(item, field);
    if (content == nullptr) {
        return {};
    }
    if (content->is_string()) {
        return std::string(content->get_string());
    }
    auto text = std::string{};
    if (content->is_array()) {
        for (auto const& part : content->get_array()) {
            if (part.is_object()) {
                text += text_of(part.get_object(), "text");
                text += text_of(part.get_object(), "refusal");
            }
        }
    }
    return text;
}

std::expected<json::object, Problem> chat_part_from(json::value const& part)
{
    auto const type = part.is_object() ? text_of(part.get_object(), "type") : std::string_view();
    if (type.empty()) {
        return std::unexpected(
            wrong_input("The content of a message must be a string or an array of parts with a 'type'."));
    }
    auto const& fields = part.get_object();
    if (type == "input_text" || type == "output_text" || type == "text") {
        auto const* text = find(fields, "text");
        if (text == nullptr || !text->is_string()) {
            return std::unexpected(wrong_input("A text part must have a string 'text'."));
        }
        return json::object{{"type", "text"}, {"text", *text}};
    }
    if (type == "refusal") {
        return json::object{{"type", "text"}, {"text", text_of(fields, "refusal")}};
    }
    if (type == "input_image") {
        return json::object{{"type", "image_url"}, {"image_url", json::object{{"url", text_of(fields, "image_url")}}}};
    }
    if (type == "input_audio") {
        auto const* sound = find(fields, "input_audio");
        return json::object{{"type", "input_audio"}, {"input_audio", sound == nullptr ? json::value() : *sound}};
    }
    return std::unexpected(wrong_input(fmt::format(
        "A part of the type '{}' is not taken: only input_text, output_text, input_image and input_audio are.",
        std::string(type.substr(0, 64)))));
}

std::expected<json::value, Problem> chat_content_from(json::object const& item)
{
    auto const* content = find(item, "content");
    if (content != nullptr && content->is_string()) {
        return *content;
    }
    if (content == nullptr || !content->is_array()) {
        return std::unexpected(wrong_input("A message must have 'content', a string or an array of parts."));
    }
    auto parts = json::array{};
    for (auto const& part : content->get_array()) {
        auto written = chat_part_from(part);
        if (!written) {
            return std::unexpected(std::move(written.error()));
        }
        parts.emplace_back(std::move(*written));
    }
    return parts;
}

/// What a compaction stands for; nothing if it is none of ours.
std::optional<std::string> summary_of(json::object const& compaction)
{
    auto summary = from_base64(text_of(compaction, "encrypted_content"));
    return summary && is_utf8(*summary) ? summary : std::nullopt;
}

Check check_item(json::object const& item)
{
    auto const type = text_of(item, "type");
    if (type == "message" && std::ranges::find(roles, text_of(item, "role")) == roles.end()) {
        return wrong_input("The 'role' of a message must be user, assistant, system or developer.");
    }
    if (type == "function_call" && (text_of(item, "call_id").empty() || text_of(item, "name").empty())) {
        return wrong_input("A function_call must have a 'call_id' and a 'name'.");
    }
    if (type == "function_call_output" && text_of(item, "call_id").empty()) {
        return wrong_input("A function_call_output must have a 'call_id'.");
    }
    if (type == "item_reference" && text_of(item, "id").empty()) {
        return wrong_input("An item_reference must have an 'id'.");
    }
    if (type == "compaction" && !summary_of(item)) {
        return wrong_input("A compaction must have the 'encrypted_content' that it was given with.");
    }
    return std::nullopt;
}

/// Writes messages item by item.
class MessageWriter {
public:
    explicit MessageWriter(std::string_view instructions) { add_system(instructions); }

    Check add(json::object const& item)
    {
        auto const type = text_of(item, "type");
        if (type == "message") {
            return add_message(item);
        }
        if (type == "function_call") {
            add_call(item);
        } else if (type == "function_call_output") {
            messages_.emplace_back(json::object{{"role", "tool"},
                                                {"tool_call_id", text_of(item, "call_id")},
                                                {"content", joined_text(item, "output")}});
        } else if (type == "reasoning") {
            auto const text = joined_text(item, "content");
            reasoning_ += text.empty() ? joined_text(item, "summary") : text;
        } else if (type == "compaction") {
            auto const summary = summary_of(item).value_or("");
            messages_.emplace_back(
                json::object{{"role", "user"}, {"content", "What was said before, in short:\n" + summary}});
        }
        return std::nullopt;
    }

    json::array take() { return std::move(messages_); }

private:
    void add_system(std::string_view text)
    {
        if (text.empty()) {
            return;
        }
        auto const goes_on = messages_.size() == 1 && messages_[0].at("role") == "system";
        if (goes_on) {
            auto& whole = messages_[0].at("content").as_string();
            whole.append("\n\n").append(text);
        } else {
            messages_.emplace_back(json::object{{"role", "system"}, {"content", text}});
        }
    }

    Check add_message(json::object const& item)
    {
        auto content = chat_content_from(item);
        if (!content) {
            return std::move(content.error());
        }
        auto const role = text_of(item, "role");
        if (role == "system" || role == "developer") {
            add_system(joined_text(item, "content"));
        } else if (role == "assistant") {
            add_assistant(json::value(joined_text(item, "content")));
        } else {
            reasoning_.clear();
            messages_.emplace_back(json::object{{"role", "user"}, {"content", std::move(*content)}});
        }
        return std::nullopt;
    }

    json::object& add_assistant(json::value content)
    {
        auto message = json::object{{"role", "assistant"}, {"content", std::move(content)}};
        if (!reasoning_.empty()) {
            message["reasoning_content"] = std::exchange(reasoning_, {});
        }
        messages_.emplace_back(std::move(message));
        return messages_.back().get_object();
    }

    void add_call(json::object const& item)
    {
        auto const goes_on = !messages_.empty() && messages_.back().at("role") == "assistant";
        auto& message = goes_on ? messages_.back().get_object() : add_assistant(nullptr);
        auto& calls = message["tool_calls"];
        if (!calls.is_array()) {
            calls.emplace_array();
        }
        calls.get_array().emplace_back(
            json::object{{"id", text_of(item, "call_id")},
                         {"type", "function"},
                         {"function", {{"name", text_of(item, "name")}, {"arguments", text_of(item, "arguments")}}}});
    }

    json::array messages_;
    std::string reasoning_;  // of the assistant message to come
};

}  // namespace

std::expected<json::array, Problem> items_from_input(json::value const& input, std::vector<std::string>& left_out)
{
    if (input.is_string()) {
        return json::array{json::object{{"type", "message"}, {"role", "user"}, {"content", input}}};
    }
    if (!input.is_array() || input.get_array().size() > max_items) {
        return std::unexpected(wrong_type("input", fmt::format("a string or an array of at most {} items", max_items)));
    }
    auto items = json::array{};
    for (auto const& each : input.get_array()) {
        if (!each.is_object()) {
            return std::unexpected(wrong_type("input", "a string or an array of items, which are objects"));
        }
        auto item = each.get_object();
        if (!item.contains("type") && item.contains("role")) {
            item["type"] = "message";
        }
        auto const type = std::string(text_of(item, "type").substr(0, 64));
        auto const is_known = std::ranges::find(known_items, type) != known_items.end();
        if (!is_known && is_foreign(type)) {
            left_out.push_back(type);
            continue;
        }
        if (!is_known) {
            return std::unexpected(wrong_input(fmt::format("An item of the type '{}' is not taken.", type)));
        }
        if (auto problem = check_item(item)) {
            return std::unexpected(std::move(*problem));
        }
        items.emplace_back(std::move(item));
    }
    return items;
}

std::expected<json::array, Problem> messages_from_items(std::string_view instructions, json::array const& items)
{
    auto writer = MessageWriter(instructions);
    for (auto const& item : items) {
        if (auto problem = writer.add(item.get_object())) {
            return std::unexpected(std::move(*problem));
        }
    }
    return writer.take();
}

}  // namespace plexus::api
