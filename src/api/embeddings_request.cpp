#include "api/embeddings_request.h"

#include <array>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto formats = std::array<std::string_view, 2>{"float", "base64"};
constexpr double most_dimensions = 65'536;

bool is_token(json::value const& value)
{
    return value.is_int64() && value.get_int64() >= 0 && value.get_int64() <= std::numeric_limits<std::int32_t>::max();
}

bool are_tokens(json::value const& value)
{
    return value.is_array() && !value.get_array().empty() && std::ranges::all_of(value.get_array(), is_token);
}

bool is_input(json::value const& value)
{
    return are_tokens(value) || (value.is_string() && !value.get_string().empty());
}

/// A text, tokens, or a list of those.
std::expected<json::array, Problem> inputs_of(json::object const& body)
{
    auto const* input = body.if_contains("input");
    if (input == nullptr) {
        return std::unexpected(invalid_request("input", "'input' is missing.", "missing_field"));
    }
    if (is_input(*input)) {
        return json::array{*input};
    }
    auto const is_list = input->is_array() && !input->get_array().empty() &&
                         std::ranges::all_of(input->get_array(), is_input);
    if (!is_list) {
        return std::unexpected(
            wrong_type("input", "a string, an array of token ids, or an array of those; none of them empty"));
    }
    if (input->get_array().size() > max_embedded_inputs) {
        return std::unexpected(
            invalid_request("input", fmt::format("At most {} inputs are taken.", max_embedded_inputs)));
    }
    return input->get_array();
}

void add_tasks(EmbeddingsRequest& request, json::array const& inputs)
{
    for (std::size_t begin = 0; begin < inputs.size(); begin += inputs_of_task) {
        auto const end = std::min(inputs.size(), begin + inputs_of_task);
        auto const part = json::array(inputs.begin() + begin, inputs.begin() + end);
        auto body = json::object{{"model", request.model}, {"input", part}, {"encoding_format", "float"}};
        request.tasks.push_back({.model = request.model, .body = json::serialize(body), .kind = TaskKind::embeddings});
    }
}

}  // namespace

std::expected<EmbeddingsRequest, Problem> parse_embeddings_request(std::string_view text)
{
    auto body = parse_fields(text);
    if (!body) {
        return std::unexpected(std::move(body.error()));
    }
    auto problem = check_model(*body);
    problem = problem ? problem : check_word(*body, "encoding_format", formats);
    problem = problem ? problem : check_number(*body, {"dimensions", 1, most_dimensions, true});
    problem = problem ? problem : check_text(*body, "user");
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    auto const inputs = inputs_of(*body);
    if (!inputs) {
        return std::unexpected(inputs.error());
    }
    auto request = EmbeddingsRequest{.model = std::string(body->at("model").get_string()),
                                     .as_base64 = text_of(*body, "encoding_format") == "base64"};
    if (auto const dimensions = whole_number_of(*body, "dimensions")) {
        request.dimensions = static_cast<std::size_t>(*dimensions);
    }
    add_tasks(request, *inputs);
    return request;
}

}  // namespace plexus::api
