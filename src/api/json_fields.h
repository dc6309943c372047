#pragma once

#include <expected>
#include <optional>
#include <span>

#include <boost/json/object.hpp>

#include "api/problem.h"

/// Checks of the fields of a request body, shared by all dialects. Every problem is a 400 that names its field.
namespace plexus::api {

inline constexpr std::size_t max_json_depth = 64;
inline constexpr std::size_t max_model_name_bytes = 256;
inline constexpr auto unlimited = 9.0e15;  ///< whole numbers beyond are not exact as doubles

/// Nothing is wrong, or this is.
using Check = std::optional<Problem>;

/// The body as a JSON object, at most max_json_depth deep, every number finite.
std::expected<boost::json::object, Problem> parse_object(std::string_view text);

/// Removes the fields that are null, which mean the same as absent ones.
void drop_nulls(boost::json::object& body);

/// parse_object without the fields that are null.
std::expected<boost::json::object, Problem> parse_fields(std::string_view text);

/// "'PARAM' must be EXPECTED."
Problem wrong_type(std::string_view param, std::string_view expected);

struct NumberRule {
    std::string_view name;
    double least;
    double most;
    bool whole;
};

/// The field may be absent.
Check check_number(boost::json::object const& body, NumberRule const& rule);
Check check_flag(boost::json::object const& body, std::string_view name);
Check check_text(boost::json::object const& body, std::string_view name);
/// The first of these fields that is wrong.
Check check_numbers(boost::json::object const& body, std::span<NumberRule const> rules);
Check check_flags(boost::json::object const& body, std::span<std::string_view const> names);
Check check_texts(boost::json::object const& body, std::span<std::string_view const> names);
/// The field may be absent, else it is one of `words`.
Check check_word(boost::json::object const& body, std::string_view name, std::span<std::string_view const> words);
/// `model` must be there, a string of 1 to max_model_name_bytes.
Check check_model(boost::json::object const& body);

/// The field, or null if it is absent or null.
boost::json::value const* find(boost::json::object const& object, std::string_view name);
/// The object of that name, or null if there is none.
boost::json::object const* object_in(boost::json::object const& object, std::string_view name);
/// The string of that name, empty if there is none.
std::string_view text_of(boost::json::object const& object, std::string_view name);
/// The whole number of that name, nothing if there is none.
std::optional<std::int64_t> whole_number_of(boost::json::object const& object, std::string_view name);
/// The flag of that name, false if there is none.
bool flag_of(boost::json::object const& object, std::string_view name);

}  // namespace plexus::api
