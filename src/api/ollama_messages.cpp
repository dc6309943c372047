#include "api/ollama_messages.h"

#include <boost/json/value.hpp>

#include "api/message_parts.h"

namespace plexus::api {

namespace json = boost::json;

Check add_images(json::object const& owner, std::string const& place, json::array& parts)
{
    auto const* images = find(owner, "images");
    if (images == nullptr) {
        return std::nullopt;
    }
    if (!images->is_array()) {
        return wrong_type(place, "an array of images as base64");
    }
    for (auto const& image : images->get_array()) {
        if (!image.is_string()) {
            return wrong_type(place, "an array of images as base64");
        }
        parts.push_back(image_part(image.get_string()));
    }
    return std::nullopt;
}

Check OllamaMessages::add_calls(json::object const& fields, std::string const& place, json::object& message)
{
    auto const* calls = find(fields, "tool_calls");
    if (calls == nullptr) {
        return std::nullopt;
    }
    auto const wrong = wrong_type(place + ".tool_calls",
                                  "an array of calls with a function that has a name and an object "
                                  "'arguments'");
    if (!calls->is_array()) {
        return wrong;
    }
    auto made = json::array{};
    for (auto const& call : calls->get_array()) {
        auto const* function = call.is_object() ? find(call.get_object(), "function") : nullptr;
        if (function == nullptr || !function->is_object()) {
            return wrong;
        }
        auto const name = text_of(function->get_object(), "name");
        auto const* arguments = find(function->get_object(), "arguments");
        if (name.empty() || (arguments != nullptr && !arguments->is_object())) {
            return wrong;
        }
        auto id = std::string(text_of(call.get_object(), "id"));
        id = id.empty() ? fmt::format("call_{}", calls_) : id;
        ++calls_;
        made.push_back(function_call(id, name, arguments == nullptr ? json::value(json::object{}) : *arguments));
        open_calls_.push_back({std::move(id), std::string(name)});
    }
    if (!made.empty()) {
        message["tool_calls"] = std::move(made);
    }
    return std::nullopt;
}

/// The id of the call that a result answers: as it says, else the first open one of its name, else the first.
std::string OllamaMessages::call_of_result(json::object const& fields)
{
    auto const id = text_of(fields, "tool_call_id");
    auto const name = text_of(fields, "tool_name");
    auto found = std::ranges::find_if(open_calls_, [&](OpenCall const& call) {
        return id.empty() ? call.name == name || name.empty() : call.id == id;
    });
    if (found == open_calls_.end()) {
        return id.empty() ? fmt::format("call_{}", calls_++) : std::string(id);
    }
    auto answered = std::move(found->id);
    open_calls_.erase(found);
    return answered;
}

Check OllamaMessages::add(json::value const& value, std::string const& place)
{
    if (!value.is_object()) {
        return wrong_type(place, "an object");
    }
    auto const& fields = value.get_object();
    auto const role = text_of(fields, "role");
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
        return invalid_request(place + ".role",
                               fmt::format("'{}.role' must be system, user, assistant or tool.", place));
    }
    auto const* content = find(fields, "content");
    if (content != nullptr && !content->is_string()) {
        return wrong_type(place + ".content", "a string");
    }
    auto message = json::object{{"role", role}};
    if (role == "tool") {
        message["tool_call_id"] = call_of_result(fields);
    }
    if (auto const thinking = text_of(fields, "thinking"); !thinking.empty() && role == "assistant") {
        message["reasoning_content"] = thinking;
    }
    auto parts = json::array{text_part(text_of(fields, "content"))};
    if (auto problem = add_images(fields, place + ".images", parts)) {
        return problem;
    }
    message["content"] = content_of(std::move(parts), "");
    if (auto problem = add_calls(fields, place, message)) {
        return problem;
    }
    messages.push_back(std::move(message));
    return std::nullopt;
}

}  // namespace plexus::api
