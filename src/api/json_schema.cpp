#include "api/json_schema.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

class SchemaCheck {
public:
    explicit SchemaCheck(std::string_view param) : param_(param) {}

    Check look_at(json::value const& value, std::size_t depth)
    {
        if (depth > max_schema_depth) {
            return problem(fmt::format("nests deeper than {}", max_schema_depth));
        }
        if (++values_ > max_schema_values) {
            return problem(fmt::format("holds more than {} values", max_schema_values));
        }
        if (value.is_array()) {
            return look_at_items(value.get_array(), depth);
        }
        return value.is_object() ? look_at_fields(value.get_object(), depth) : std::nullopt;
    }

private:
    Check look_at_items(json::array const& items, std::size_t depth)
    {
        for (auto const& item : items) {
            if (auto found = look_at(item, depth + 1)) {
                return found;
            }
        }
        return std::nullopt;
    }

    Check look_at_fields(json::object const& fields, std::size_t depth)
    {
        auto const reference = text_of(fields, "$ref");
        if (!reference.empty() && !reference.starts_with('#')) {
            return problem("refers to another document; a '$ref' must begin with '#'");
        }
        for (auto const& field : fields) {
            if (auto found = look_at(field.value(), depth + 1)) {
                return found;
            }
        }
        return std::nullopt;
    }

    Problem problem(std::string_view what) const
    {
        return invalid_request(std::string(param_), fmt::format("The schema '{}' {}.", param_, what),
                               "invalid_json_schema");
    }

    std::string_view param_;
    std::size_t values_ = 0;
};

}  // namespace

Check check_schema(json::value const& schema, std::string_view param)
{
    if (!schema.is_object()) {
        return wrong_type(param, "a JSON schema, which is an object");
    }
    return SchemaCheck(param).look_at(schema, 1);
}

}  // namespace plexus::api
