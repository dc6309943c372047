#include "api/control_body.h"

#include <boost/json/parse.hpp>

namespace plexus::api {

namespace json = boost::json;

std::expected<json::object, Problem> body_of(Request const& request)
{
    auto code = boost::system::error_code{};
    auto value = json::parse(request.body.empty() ? "{}" : request.body, code);
    if (code || !value.is_object()) {
        return std::unexpected(invalid_request("", "The body must be a JSON object.", "malformed"));
    }
    return std::move(value.get_object());
}

std::expected<std::string, Problem> text_field(json::object const& body, std::string_view name)
{
    auto const* value = body.if_contains(name);
    if (value == nullptr) {
        return std::string{};
    }
    if (!value->is_string()) {
        return std::unexpected(
            invalid_request(std::string(name), fmt::format("'{}' must be a string.", name), "invalid_type"));
    }
    return std::string(value->get_string());
}

std::expected<std::optional<bool>, Problem> flag_field(json::object const& body, std::string_view name)
{
    auto const* value = body.if_contains(name);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (!value->is_bool()) {
        return std::unexpected(
            invalid_request(std::string(name), fmt::format("'{}' must be true or false.", name), "invalid_type"));
    }
    return value->get_bool();
}

std::expected<std::uint32_t, Problem> number_field(json::object const& body, std::string_view name, std::uint32_t most)
{
    auto const* value = body.if_contains(name);
    if (value == nullptr) {
        return 0U;
    }
    auto code = boost::system::error_code{};
    auto const number = value->to_number<std::int64_t>(code);
    if (code || number < 0 || number > most) {
        return std::unexpected(
            invalid_request(std::string(name), fmt::format("'{}' must be a whole number up to {}.", name, most)));
    }
    return static_cast<std::uint32_t>(number);
}

}  // namespace plexus::api
