#include "api/embeddings_answer.h"

#include <bit>
#include <cmath>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/base64.h"
#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

static_assert(std::endian::native == std::endian::little, "floats go out as they lie in memory");

std::optional<std::vector<float>> vector_from(json::value const& value)
{
    if (!value.is_array()) {
        return std::nullopt;
    }
    auto numbers = std::vector<float>{};
    numbers.reserve(value.get_array().size());
    for (auto const& each : value.get_array()) {
        auto code = boost::system::error_code{};
        auto const number = each.to_number<double>(code);
        if (code) {
            return std::nullopt;
        }
        numbers.push_back(static_cast<float>(number));
    }
    return numbers;
}

void make_unit(std::vector<float>& numbers)
{
    auto square = 0.0;
    for (auto const number : numbers) {
        square += static_cast<double>(number) * number;
    }
    for (auto& number : numbers) {
        number = square > 0 ? static_cast<float>(number / std::sqrt(square)) : number;
    }
}

json::value to_json(std::vector<float> const& numbers, bool as_base64)
{
    if (as_base64) {
        return json::value(to_base64(std::as_bytes(std::span(numbers))));
    }
    auto list = json::array{};
    list.reserve(numbers.size());
    for (auto const number : numbers) {
        list.emplace_back(static_cast<double>(number));
    }
    return list;
}

}  // namespace

Result<void> EmbeddingsAnswer::add(std::string_view document)
{
    auto code = boost::system::error_code{};
    auto const value = json::parse(document, code);
    auto const* data = !code && value.is_object() ? find(value.get_object(), "data") : nullptr;
    if (data == nullptr || !data->is_array()) {
        return fail(ErrorKind::malformed, "the engine sent no list of vectors");
    }
    auto const first = vectors_.size();
    vectors_.resize(first + data->get_array().size());
    for (auto const& entry : data->get_array()) {
        auto const* fields = entry.is_object() ? &entry.get_object() : nullptr;
        auto const index = fields == nullptr ? std::nullopt : whole_number_of(*fields, "index");
        auto const* embedding = fields == nullptr ? nullptr : find(*fields, "embedding");
        auto numbers = embedding == nullptr ? std::nullopt : vector_from(*embedding);
        if (!numbers || !index || *index < 0 || first + static_cast<std::size_t>(*index) >= vectors_.size()) {
            return fail(ErrorKind::malformed, "the engine sent what is no vector");
        }
        numbers_ += numbers->size();
        if (numbers_ > max_vector_numbers) {
            return fail(ErrorKind::too_large, "the vectors have more than {} numbers", max_vector_numbers);
        }
        vectors_[first + static_cast<std::size_t>(*index)] = std::move(*numbers);
    }
    if (auto const* usage = find(value.get_object(), "usage"); usage != nullptr && usage->is_object()) {
        tokens_ += whole_number_of(usage->get_object(), "prompt_tokens").value_or(0);
    }
    return {};
}

Result<void> EmbeddingsAnswer::shorten(std::size_t dimensions)
{
    for (auto& numbers : vectors_) {
        if (numbers.size() < dimensions) {
            return fail(ErrorKind::malformed, "The vectors of the model have {} dimensions, {} were asked for.",
                        numbers.size(), dimensions);
        }
        numbers.resize(dimensions);
        make_unit(numbers);
    }
    return {};
}

std::string EmbeddingsAnswer::finish(std::string_view model, bool as_base64) const
{
    auto data = json::array{};
    for (auto const& numbers : vectors_) {
        data.emplace_back(
            json::object{{"object", "embedding"}, {"index", data.size()}, {"embedding", to_json(numbers, as_base64)}});
    }
    return json::serialize(json::object{{"object", "list"},
                                        {"data", std::move(data)},
                                        {"model", model},
                                        {"usage", {{"prompt_tokens", tokens_}, {"total_tokens", tokens_}}}});
}

}  // namespace plexus::api
