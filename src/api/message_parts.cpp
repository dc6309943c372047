#include "api/message_parts.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

json::object text_part(std::string_view text)
{
    return {{"type", "text"}, {"text", text}};
}

json::object image_part(std::string_view base64, std::string_view media_type)
{
    auto const type = media_type.empty() ? std::string_view("image/jpeg") : media_type;
    auto const address = fmt::format("data:{};base64,{}", type, base64);
    return {{"type", "image_url"}, {"image_url", json::object{{"url", address}}}};
}

json::value content_of(json::array parts, std::string_view separator)
{
    auto text = std::string{};
    for (auto const& part : parts) {
        if (text_of(part.get_object(), "type") != "text") {
            return parts;
        }
        text += text.empty() ? "" : separator;
        text += text_of(part.get_object(), "text");
    }
    return json::string(text);
}

json::object function_call(std::string_view id, std::string_view name, json::value const& arguments)
{
    return {{"id", id},
            {"type", "function"},
            {"function", json::object{{"name", name}, {"arguments", json::serialize(arguments)}}}};
}

json::object schema_format(json::value schema)
{
    return {{"type", "json_schema"},
            {"json_schema", json::object{{"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}}}};
}

}  // namespace plexus::api
