#include "api/chat_messages.h"

#include <array>

#include <boost/json/value.hpp>

#include "api/chat_tools.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto roles = std::array<std::string_view, 6>{"system", "developer", "user", "assistant", "tool", "function"};
constexpr auto sound_formats = std::array<std::string_view, 2>{"wav", "mp3"};

Check check_picture(json::object const& part, std::string const& place)
{
    auto const* picture = find(part, "image_url");
    auto const* fields = picture != nullptr && picture->is_object() ? &picture->get_object() : nullptr;
    auto const* url = fields == nullptr ? nullptr : find(*fields, "url");
    if (url == nullptr || !url->is_string()) {
        return wrong_type(place + ".image_url", "an object with a string 'url'");
    }
    if (!url->get_string().starts_with("data:")) {
        return invalid_request(place + ".image_url.url",
                               "Pictures are taken as data URLs only (data:image/png;base64,…): "
                               "nothing is fetched from other addresses.");
    }
    return std::nullopt;
}

Check check_sound(json::object const& part, std::string const& place)
{
    auto const* sound = find(part, "input_audio");
    auto const* fields = sound != nullptr && sound->is_object() ? &sound->get_object() : nullptr;
    if (fields == nullptr || text_of(*fields, "data").empty()) {
        return wrong_type(place + ".input_audio", "an object with base64 'data' and a 'format'");
    }
    if (std::ranges::find(sound_formats, text_of(*fields, "format")) == sound_formats.end()) {
        return invalid_request(place + ".input_audio.format", "The 'format' of sound must be wav or mp3.");
    }
    return std::nullopt;
}

Check check_part(json::value& part, std::string const& place)
{
    auto const type = part.is_object() ? text_of(part.get_object(), "type") : std::string_view();
    if (type.empty()) {
        return wrong_type(place, "a string or an array of parts with a 'type'");
    }
    auto& fields = part.get_object();
    if (type == "image_url") {
        return check_picture(fields, place);
    }
    if (type == "input_audio") {
        return check_sound(fields, place);
    }
    if (type != "text" && type != "refusal") {
        return invalid_request(
            place, fmt::format("A part of '{}' must be of the type text, image_url or input_audio.", place));
    }
    auto const* text = find(fields, type);
    if (text == nullptr || !text->is_string()) {
        return wrong_type(place, "made of text parts that have a string 'text'");
    }
    part = json::object{{"type", "text"}, {"text", *text}};
    return std::nullopt;
}

Check check_content(json::value* content, std::string const& place)
{
    if (content == nullptr || content->is_string() || content->is_null()) {
        return std::nullopt;
    }
    if (!content->is_array()) {
        return wrong_type(place, "a string or an array of parts");
    }
    for (auto& part : content->get_array()) {
        if (auto problem = check_part(part, place)) {
            return problem;
        }
    }
    return std::nullopt;
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
        return invalid_request(place + ".role",
                               fmt::format("'{}.role' must be system, developer, user, assistant or tool.", place));
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
    return check_content(fields.if_contains("content"), place + ".content");
}

}  // namespace

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

}  // namespace plexus::api
