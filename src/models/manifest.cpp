#include "models/manifest.h"

#include <boost/json.hpp>

namespace plexus::models {

namespace json = boost::json;

namespace {

bool is_letter_or_digit(char each)
{
    return std::isalnum(static_cast<unsigned char>(each)) != 0;
}

bool is_name_character(char each)
{
    return is_letter_or_digit(each) || std::string_view("._:/-").contains(each);
}

json::object summary_to_json(GgufSummary const& summary)
{
    return {{"version", summary.version},
            {"architecture", summary.architecture},
            {"name", summary.name},
            {"quantisation", summary.quantisation},
            {"tokenizer", summary.tokenizer},
            {"tensors", summary.tensors},
            {"parameters", summary.parameters},
            {"weight_bytes", summary.weight_bytes},
            {"context_length", summary.context_length},
            {"embedding_length", summary.embedding_length},
            {"block_count", summary.block_count},
            {"head_count", summary.head_count},
            {"key_value_heads", summary.key_value_heads},
            {"key_length", summary.key_length},
            {"value_length", summary.value_length},
            {"feed_forward_length", summary.feed_forward_length},
            {"sliding_window", summary.sliding_window},
            {"state_values", summary.state_values},
            {"full_attention_interval", summary.full_attention_interval},
            {"vocabulary_size", summary.vocabulary_size},
            {"has_chat_template", summary.has_chat_template},
            {"is_embedding", summary.is_embedding},
            {"is_reranker", summary.is_reranker}};
}

std::string text_at(json::value const& object, std::string_view key)
{
    return std::string(object.at(key).as_string());
}

template <typename Number>
Number number_at(json::value const& object, std::string_view key)
{
    return object.at(key).to_number<Number>();
}

/// Of what earlier versions did not write.
std::uint64_t number_or_zero(json::value const& object, std::string_view key)
{
    return object.as_object().contains(key) ? number_at<std::uint64_t>(object, key) : 0;
}

/// Manifests of the first versions lack it.
bool is_there_and_true(json::value const& object, std::string_view key)
{
    auto const* value = object.as_object().if_contains(key);
    return value != nullptr && value->as_bool();
}

GgufSummary summary_from_json(json::value const& value)
{
    return {.version = number_at<std::uint32_t>(value, "version"),
            .architecture = text_at(value, "architecture"),
            .name = text_at(value, "name"),
            .quantisation = text_at(value, "quantisation"),
            .tokenizer = text_at(value, "tokenizer"),
            .tensors = number_at<std::uint64_t>(value, "tensors"),
            .parameters = number_at<std::uint64_t>(value, "parameters"),
            .weight_bytes = number_at<std::uint64_t>(value, "weight_bytes"),
            .context_length = number_at<std::uint64_t>(value, "context_length"),
            .embedding_length = number_at<std::uint64_t>(value, "embedding_length"),
            .block_count = number_at<std::uint64_t>(value, "block_count"),
            .head_count = number_at<std::uint64_t>(value, "head_count"),
            .key_value_heads = number_at<std::uint64_t>(value, "key_value_heads"),
            .key_length = number_or_zero(value, "key_length"),
            .value_length = number_or_zero(value, "value_length"),
            .feed_forward_length = number_or_zero(value, "feed_forward_length"),
            .sliding_window = number_or_zero(value, "sliding_window"),
            .state_values = number_or_zero(value, "state_values"),
            .full_attention_interval = number_or_zero(value, "full_attention_interval"),
            .vocabulary_size = number_or_zero(value, "vocabulary_size"),
            .has_chat_template = value.at("has_chat_template").as_bool(),
            .is_embedding = value.at("is_embedding").as_bool(),
            .is_reranker = is_there_and_true(value, "is_reranker")};
}

WallTime wall_time_at(json::value const& object, std::string_view key)
{
    return WallTime(std::chrono::milliseconds(number_at<std::int64_t>(object, key)));
}

Result<Model> model_from_json(json::value const& value)
{
    auto const digest = ModelDigest::from_text(text_at(value, "sha256"));
    if (!digest) {
        return std::unexpected(digest.error());
    }
    auto const& verified = value.at("verified");
    auto model = Model{.digest = *digest,
                       .name = text_at(value, "name"),
                       .size_bytes = number_at<std::uint64_t>(value, "size_bytes"),
                       .added = wall_time_at(value, "added_unix_ms"),
                       .origin = text_at(value, "origin"),
                       .summary = summary_from_json(value.at("summary")),
                       .verified = {.inode = number_at<std::uint64_t>(verified, "inode"),
                                    .size = number_at<std::uint64_t>(verified, "size"),
                                    .modified = wall_time_at(verified, "modified_unix_ms")}};
    if (!is_usable_name(model.name)) {
        return fail(ErrorKind::malformed, "the manifest has an unusable name");
    }
    return model;
}

}  // namespace

bool is_usable_name(std::string_view name)
{
    return !name.empty() && name.size() <= max_name_bytes && is_letter_or_digit(name.front()) &&
           std::ranges::all_of(name, is_name_character);
}

std::string name_from_file(std::filesystem::path const& file)
{
    auto name = file.extension() == ".gguf" ? file.stem().string() : file.filename().string();
    std::ranges::replace_if(name, [](char each) { return !is_name_character(each); }, '-');
    name.erase(0, static_cast<std::size_t>(std::ranges::find_if(name, is_letter_or_digit) - name.begin()));
    name.resize(std::min(name.size(), max_name_bytes));
    return name.empty() ? "model" : name;
}

std::string write_manifest(Model const& model)
{
    auto const verified = json::object{{"inode", model.verified.inode},
                                       {"size", model.verified.size},
                                       {"modified_unix_ms", model.verified.modified.time_since_epoch().count()}};
    return json::serialize(json::object{{"sha256", model.digest.text()},
                                        {"name", model.name},
                                        {"size_bytes", model.size_bytes},
                                        {"added_unix_ms", model.added.time_since_epoch().count()},
                                        {"origin", model.origin},
                                        {"summary", summary_to_json(model.summary)},
                                        {"verified", verified}});
}

Result<Model> read_manifest(std::string_view text)
{
    try {
        return model_from_json(json::parse(text));
    } catch (std::exception const&) {
        return fail(ErrorKind::malformed, "the manifest is not what this program writes");
    }
}

}  // namespace plexus::models
