#include "api/multipart.h"

#include <algorithm>

namespace plexus::api {

namespace {

constexpr auto line_end = std::string_view("\r\n");
constexpr std::size_t max_boundary = 70;

char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter | 0x20) : letter;
}

bool begins_with_word(std::string_view text, std::string_view word)
{
    return text.size() >= word.size() && std::ranges::equal(text.substr(0, word.size()), word, {}, lower);
}

void skip_space(std::string_view& text)
{
    text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t")));
}

/// A token, or a string in quotes with backslashes before quotes and backslashes.
std::optional<std::string> take_value(std::string_view& text)
{
    auto value = std::string{};
    if (!text.starts_with('"')) {
        value = text.substr(0, text.find_first_of("; \t"));
        text.remove_prefix(value.size());
        return value;
    }
    for (std::size_t place = 1; place < text.size(); ++place) {
        if (text[place] == '"') {
            text.remove_prefix(place + 1);
            return value;
        }
        auto const is_escape = text[place] == '\\' && place + 1 < text.size() &&
                               (text[place + 1] == '"' || text[place + 1] == '\\');
        value += text[is_escape ? ++place : place];
    }
    return std::nullopt;
}

/// The parameter of a field like `form-data; name="file"; filename="a.wav"`.
std::optional<std::string> parameter(std::string_view field, std::string_view wanted)
{
    field.remove_prefix(std::min(field.size(), field.find(';')));
    while (field.starts_with(';')) {
        field.remove_prefix(1);
        skip_space(field);
        auto const equals = field.find('=');
        if (equals == std::string_view::npos) {
            return std::nullopt;
        }
        auto const name = field.substr(0, equals);
        field.remove_prefix(equals + 1);
        auto value = take_value(field);
        if (!value || (name.size() == wanted.size() && begins_with_word(name, wanted))) {
            return value;
        }
        skip_space(field);
    }
    return std::nullopt;
}

/// The value of Content-Disposition among the head lines of a part.
std::string_view disposition_in(std::string_view head)
{
    constexpr auto field = std::string_view("content-disposition:");
    while (!head.empty()) {
        auto const line = head.substr(0, head.find(line_end));
        head.remove_prefix(std::min(head.size(), line.size() + line_end.size()));
        if (begins_with_word(line, field)) {
            auto value = line.substr(field.size());
            skip_space(value);
            return value;
        }
    }
    return {};
}

Result<FormPart> part_from(std::string_view text)
{
    // The head ends with an empty line; a part without fields begins with it.
    auto const head_end = text.starts_with(line_end) ? 0 : text.find("\r\n\r\n");
    if (head_end == std::string_view::npos) {
        return fail(ErrorKind::malformed, "a part of the form has no end of its head");
    }
    if (head_end > max_part_head_bytes) {
        return fail(ErrorKind::too_large, "the head of a part has more than {} bytes", max_part_head_bytes);
    }
    auto const disposition = disposition_in(text.substr(0, head_end));
    auto name = parameter(disposition, "name");
    if (!begins_with_word(disposition, "form-data") || !name || name->empty()) {
        return fail(ErrorKind::malformed, "a part of the form has no name");
    }
    auto const body_begin = head_end == 0 ? line_end.size() : head_end + 2 * line_end.size();
    return FormPart{std::move(*name), parameter(disposition, "filename").value_or(""), text.substr(body_begin)};
}

}  // namespace

std::optional<std::string> form_boundary(std::string_view content_type)
{
    constexpr auto type = std::string_view("multipart/form-data");
    if (!begins_with_word(content_type, type)) {
        return std::nullopt;
    }
    auto const rest = content_type.substr(type.size());
    if (!rest.empty() && rest.front() != ';' && rest.front() != ' ') {
        return std::nullopt;
    }
    auto boundary = parameter(rest, "boundary");
    return boundary && !boundary->empty() && boundary->size() <= max_boundary ? boundary : std::nullopt;
}

Result<std::vector<FormPart>> parse_form(std::string_view body, std::string_view boundary)
{
    auto const first = fmt::format("--{}", boundary);
    auto const delimiter = fmt::format("\r\n--{}", boundary);
    auto begin = body.starts_with(first) ? first.size() : body.find(delimiter);
    if (begin == std::string_view::npos) {
        return fail(ErrorKind::malformed, "the form does not hold its boundary");
    }
    begin += body.starts_with(first) ? 0 : delimiter.size();
    auto parts = std::vector<FormPart>{};
    for (auto rest = body.substr(begin); !rest.starts_with("--");) {
        skip_space(rest);
        auto const end = rest.starts_with(line_end) ? rest.find(delimiter, line_end.size()) : std::string_view::npos;
        if (end == std::string_view::npos) {
            return fail(ErrorKind::malformed, "the form does not end with its boundary");
        }
        if (parts.size() == max_form_parts) {
            return fail(ErrorKind::too_large, "the form has more than {} parts", max_form_parts);
        }
        auto part = part_from(rest.substr(line_end.size(), end - line_end.size()));
        if (!part) {
            return std::unexpected(part.error());
        }
        parts.push_back(std::move(*part));
        rest.remove_prefix(end + delimiter.size());
    }
    return parts;
}

}  // namespace plexus::api
