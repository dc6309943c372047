#include "api/chat_tools.h"

#include <boost/json/value.hpp>

#include "api/json_schema.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

std::string_view function_name(json::value const& tool)
{
    auto code = boost::system::error_code{};
    auto const* name = tool.find_pointer("/function/name", code);
    return name != nullptr && name->is_string() ? std::string_view(name->get_string()) : std::string_view();
}

Check check_tool_list(json::object const& body)
{
    auto const* tools = body.if_contains("tools");
    if (tools == nullptr) {
        return std::nullopt;
    }
    if (!tools->is_array() || tools->get_array().size() > max_tools) {
        return wrong_type("tools", fmt::format("an array of at most {} tools", max_tools));
    }
    for (auto const& tool : tools->get_array()) {
        if (!names_function(tool)) {
            return invalid_request("tools", "'tools' must hold tools of the type 'function' with a name.");
        }
        auto const* parameters = find(tool.at("function").get_object(), "parameters");
        if (parameters == nullptr) {
            continue;
        }
        if (auto problem = check_schema(*parameters, "tools")) {
            return problem;
        }
    }
    return std::nullopt;
}

/// Leaves the tools whose names are in `wanted`, each of which must be there.
Check leave_tools(json::object& body, std::vector<std::string> const& wanted)
{
    auto* tools = body.if_contains("tools");
    auto left = json::array{};
    for (auto const& name : wanted) {
        auto const before = left.size();
        if (tools != nullptr) {
            std::ranges::copy_if(tools->get_array(), std::back_inserter(left),
                                 [&](json::value const& tool) { return function_name(tool) == name; });
        }
        if (left.size() == before) {
            return invalid_request("tool_choice", "'tool_choice' must name functions of 'tools'.");
        }
    }
    *tools = std::move(left);
    return std::nullopt;
}

/// {"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":…}}]}}
Check take_allowed_tools(json::object& body, json::object const& choice)
{
    auto const* allowed = find(choice, "allowed_tools");
    auto const* fields = allowed != nullptr && allowed->is_object() ? &allowed->get_object() : nullptr;
    auto const* tools = fields == nullptr ? nullptr : find(*fields, "tools");
    if (tools == nullptr || !tools->is_array() || tools->get_array().empty() || tools->get_array().size() > max_tools) {
        return wrong_type("tool_choice", "an object whose 'allowed_tools' has 'mode' and 'tools'");
    }
    auto const mode = std::string(text_of(*fields, "mode"));
    if (mode != "auto" && mode != "required") {
        return invalid_request("tool_choice", "The 'mode' of allowed tools must be auto or required.");
    }
    auto wanted = std::vector<std::string>{};
    for (auto const& tool : tools->get_array()) {
        if (std::ranges::find(wanted, function_name(tool)) == wanted.end()) {
            wanted.emplace_back(function_name(tool));
        }
    }
    auto problem = leave_tools(body, wanted);
    body["tool_choice"] = mode;
    return problem;
}

Check take_choice(json::object& body)
{
    auto const* choice = body.if_contains("tool_choice");
    if (choice == nullptr) {
        return std::nullopt;
    }
    if (choice->is_string()) {
        auto const name = std::string_view(choice->get_string());
        if (name != "none" && name != "auto" && name != "required") {
            return invalid_request("tool_choice", "'tool_choice' must be none, auto, required or name a function.");
        }
        return std::nullopt;
    }
    if (!choice->is_object()) {
        return wrong_type("tool_choice", "a string or an object");
    }
    auto const fields = choice->get_object();
    if (text_of(fields, "type") == "allowed_tools") {
        return take_allowed_tools(body, fields);
    }
    auto problem = leave_tools(body, {std::string(function_name(*choice))});
    body["tool_choice"] = "required";
    return problem;
}

}  // namespace

bool names_function(json::value const& tool)
{
    return tool.is_object() && text_of(tool.get_object(), "type") == "function" && !function_name(tool).empty();
}

Check check_tools(json::object& body)
{
    auto problem = check_tool_list(body);
    return problem ? problem : take_choice(body);
}

}  // namespace plexus::api
