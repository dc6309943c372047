#include "api/transcription_request.h"

#include <array>
#include <charconv>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "api/base64.h"
#include "base/text.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto formats = std::array<std::string_view, 2>{"json", "text"};
constexpr auto switches = std::array<std::string_view, 2>{"true", "false"};
constexpr auto texts = std::array<std::string_view, 6>{"model",           "language",    "prompt",
                                                       "response_format", "temperature", "stream"};

/// The fields that we know as a JSON object; the sound apart.
std::expected<json::object, Problem> texts_of(std::vector<FormPart> const& parts)
{
    auto fields = json::object{};
    for (auto const& part : parts) {
        if (std::ranges::find(texts, part.name) == texts.end()) {
            continue;
        }
        if (!is_utf8(part.body)) {
            return std::unexpected(invalid_request(part.name, fmt::format("'{}' is not UTF-8.", part.name)));
        }
        fields[part.name] = part.body;
    }
    return fields;
}

Check check_temperature(json::object const& fields)
{
    auto const text = text_of(fields, "temperature");
    auto number = 0.0;
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    auto const is_number = text.empty() || (code == std::errc() && end == text.data() + text.size());
    if (!is_number || !(number >= 0 && number <= 2)) {
        return invalid_request("temperature", "'temperature' must be a number between 0 and 2.");
    }
    return std::nullopt;
}

Check check_fields(json::object const& fields)
{
    auto problem = check_model(fields);
    problem = problem ? problem : check_word(fields, "response_format", formats);
    problem = problem ? problem : check_word(fields, "stream", switches);
    return problem ? problem : check_temperature(fields);
}

std::expected<std::string_view, Problem> sound_of(std::vector<FormPart> const& parts)
{
    auto const file = std::ranges::find(parts, "file", &FormPart::name);
    if (file == parts.end() || file->body.empty()) {
        return std::unexpected(invalid_request("file", "'file' is missing: the sound to transcribe.", "missing_field"));
    }
    if (file->body.size() > max_sound_bytes) {
        auto text = fmt::format("The sound has {} bytes; at most {} are taken.", file->body.size(), max_sound_bytes);
        return std::unexpected(invalid_request("file", std::move(text), "too_large"));
    }
    return file->body;
}

}  // namespace

std::expected<TranscriptionRequest, Problem> parse_transcription_request(std::string_view content_type,
                                                                         std::string_view body)
{
    auto const boundary = form_boundary(content_type);
    if (!boundary) {
        return std::unexpected(
            invalid_request("", "The body must be a form: multipart/form-data with its boundary.", "malformed"));
    }
    auto const parts = parse_form(body, *boundary);
    if (!parts) {
        return std::unexpected(
            invalid_request("", fmt::format("The form cannot be read: {}.", parts.error().text), "malformed"));
    }
    auto fields = texts_of(*parts);
    if (!fields) {
        return std::unexpected(fields.error());
    }
    if (auto problem = check_fields(*fields)) {
        return std::unexpected(std::move(*problem));
    }
    auto const sound = sound_of(*parts);
    if (!sound) {
        return std::unexpected(sound.error());
    }
    auto request = TranscriptionRequest{.model = std::string(text_of(*fields, "model")),
                                        .as_text = text_of(*fields, "response_format") == "text",
                                        .stream = text_of(*fields, "stream") == "true",
                                        .task_body = {}};
    fields->erase("stream");
    (*fields)["response_format"] = "json";
    (*fields)["file"] = to_base64(as_view(*sound));
    request.task_body = json::serialize(*fields);
    return request;
}

}  // namespace plexus::api
