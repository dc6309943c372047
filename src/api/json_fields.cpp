#include "api/json_fields.h"

#include <cmath>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

std::optional<double> number_of(json::value const& value)
{
    auto code = boost::system::error_code{};
    auto const number = value.to_number<double>(code);
    return code ? std::nullopt : std::optional(number);
}

std::string range_text(NumberRule const& rule, double number)
{
    if (rule.most >= unlimited) {
        return number < rule.least ? fmt::format("at least {}", rule.least) : fmt::format("at most {}", rule.most);
    }
    return rule.least == rule.most ? fmt::format("{}", rule.most)
                                   : fmt::format("between {} and {}", rule.least, rule.most);
}

}  // namespace

Check check_number(json::object const& body, NumberRule const& rule)
{
    auto const* value = body.if_contains(rule.name);
    if (value == nullptr) {
        return std::nullopt;
    }
    auto const number = number_of(*value);
    if (!number) {
        return wrong_type(rule.name, rule.whole ? "a whole number" : "a number");
    }
    if (rule.whole && *number != std::floor(*number)) {
        return wrong_type(rule.name, "a whole number");
    }
    if (*number < rule.least || *number > rule.most) {
        return invalid_request(std::string(rule.name),
                               fmt::format("'{}' must be {}.", rule.name, range_text(rule, *number)));
    }
    return std::nullopt;
}

Check check_flag(json::object const& body, std::string_view name)
{
    auto const* value = body.if_contains(name);
    return value == nullptr || value->is_bool() ? Check() : wrong_type(name, "true or false");
}

Check check_text(json::object const& body, std::string_view name)
{
    auto const* value = body.if_contains(name);
    return value == nullptr || value->is_string() ? Check() : wrong_type(name, "a string");
}

namespace {

template <typename Item, typename Checker>
Check first_wrong(json::object const& body, std::span<Item const> items, Checker check)
{
    for (auto const& item : items) {
        if (auto problem = check(body, item)) {
            return problem;
        }
    }
    return std::nullopt;
}

}  // namespace

Check check_numbers(json::object const& body, std::span<NumberRule const> rules)
{
    return first_wrong(body, rules, check_number);
}

Check check_flags(json::object const& body, std::span<std::string_view const> names)
{
    return first_wrong(body, names, check_flag);
}

Check check_texts(json::object const& body, std::span<std::string_view const> names)
{
    return first_wrong(body, names, check_text);
}

Check check_word(json::object const& body, std::string_view name, std::span<std::string_view const> words)
{
    auto const* value = body.if_contains(name);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (!value->is_string()) {
        return wrong_type(name, "a string");
    }
    if (std::ranges::find(words, std::string_view(value->get_string())) != words.end()) {
        return std::nullopt;
    }
    return invalid_request(std::string(name), fmt::format("'{}' must be one of: {}.", name, fmt::join(words, ", ")));
}

Check check_model(json::object const& body)
{
    auto const* model = body.if_contains("model");
    if (model == nullptr) {
        return invalid_request("model", "'model' is missing.", "missing_field");
    }
    if (!model->is_string()) {
        return wrong_type("model", "a string");
    }
    if (model->get_string().empty() || model->get_string().size() > max_model_name_bytes) {
        return invalid_request("model", fmt::format("'model' must have 1 to {} bytes.", max_model_name_bytes));
    }
    return std::nullopt;
}

namespace {

/// The parser makes infinity of a number beyond what a double holds, and no JSON text says that again.
bool is_finite(json::value const& value)
{
    switch (value.kind()) {
    case json::kind::double_: return std::isfinite(value.get_double());
    case json::kind::array: return std::ranges::all_of(value.get_array(), is_finite);
    case json::kind::object:
        return std::ranges::all_of(value.get_object(), [](auto const& field) { return is_finite(field.value()); });
    default: return true;
    }
}

}  // namespace

std::expected<json::object, Problem> parse_object(std::string_view text)
{
    auto options = json::parse_options{};
    options.max_depth = max_json_depth;
    auto code = boost::system::error_code{};
    auto value = json::parse(text, code, {}, options);
    if (code) {
        return std::unexpected(
            invalid_request("", fmt::format("The body is not valid JSON: {}.", code.message()), "malformed"));
    }
    if (!value.is_object()) {
        return std::unexpected(invalid_request("", "The body must be a JSON object.", "malformed"));
    }
    if (!is_finite(value)) {
        return std::unexpected(invalid_request("", "The body has a number that is too large.", "malformed"));
    }
    return std::move(value.get_object());
}

void drop_nulls(json::object& body)
{
    for (auto each = body.begin(); each != body.end();) {
        each = each->value().is_null() ? body.stable_erase(each) : std::next(each);
    }
}

std::expected<json::object, Problem> parse_fields(std::string_view text)
{
    auto body = parse_object(text);
    if (body) {
        drop_nulls(*body);
    }
    return body;
}

Problem wrong_type(std::string_view param, std::string_view expected)
{
    return invalid_request(std::string(param), fmt::format("'{}' must be {}.", param, expected), "invalid_type");
}

json::value const* find(json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    return value == nullptr || value->is_null() ? nullptr : value;
}

json::object const* object_in(json::object const& object, std::string_view name)
{
    auto const* value = find(object, name);
    return value != nullptr && value->is_object() ? &value->get_object() : nullptr;
}

std::string_view text_of(json::object const& object, std::string_view name)
{
    auto const* value = find(object, name);
    return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

std::optional<std::int64_t> whole_number_of(json::object const& object, std::string_view name)
{
    auto const* value = find(object, name);
    auto const number = value == nullptr ? std::nullopt : number_of(*value);
    return number && std::abs(*number) <= unlimited ? std::optional(static_cast<std::int64_t>(*number)) : std::nullopt;
}

bool flag_of(json::object const& object, std::string_view name)
{
    auto const* value = find(object, name);
    return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace plexus::api
