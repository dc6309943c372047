#include "inference/chat_events.h"

#include <charconv>

#include <boost/json.hpp>

#include "base/text.h"

namespace plexus::inference {

namespace {

constexpr std::size_t max_error_text = 500;

boost::json::object const* child(boost::json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    return value != nullptr ? value->if_object() : nullptr;
}

double number(boost::json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    auto code = boost::system::error_code{};
    return value != nullptr && value->is_number() ? value->to_number<double>(code) : 0.0;
}

/// A count that the engine told; what no count can be is 0.
std::uint64_t count(boost::json::object const& object, std::string_view name)
{
    constexpr double most = 9'007'199'254'740'992.0;  // whole numbers are exact up to here
    auto const value = number(object, name);
    return value >= 0 && value <= most ? static_cast<std::uint64_t>(value) : 0;
}

ErrorKind kind_of(std::uint64_t status, std::string_view type)
{
    if (type == "exceed_context_size_error") {
        return ErrorKind::too_large;
    }
    if (type == "not_supported_error" || (status >= 400 && status < 500)) {
        return ErrorKind::malformed;
    }
    return status == 503 ? ErrorKind::unavailable : ErrorKind::closed;
}

Error error_from(boost::json::object const& error, std::uint32_t status)
{
    auto const text = [&](std::string_view name) {
        auto const* value = error.if_contains(name);
        return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string{};
    };
    auto const code = count(error, "code");
    auto message = printable_utf8(text("message"), max_error_text);
    auto const type = text("type");
    auto const kind = kind_of(code != 0 ? code : status, type);
    if (kind == ErrorKind::too_large && error.contains("n_prompt_tokens")) {
        message = fmt::format("the prompt has {} tokens, the context holds {}",
                              count(error, "n_prompt_tokens"), count(error, "n_ctx"));
    }
    return {kind, message.empty() ? "the engine failed" : message};
}

/// What stands behind the name of a field, without the space that may lead it.
std::string_view value_of(std::string_view line, std::string_view name)
{
    auto const value = line.substr(name.size() + 1);
    return value.starts_with(' ') ? value.substr(1) : value;
}

void take_line(Event& event, std::string_view line)
{
    if (line.starts_with("id:")) {
        event.id = value_of(line, "id");
        return;
    }
    for (auto const* name : {"data", "error"}) {
        if (line.starts_with(name) && line.substr(std::strlen(name)).starts_with(':')) {
            event.data += event.data.empty() ? "" : "\n";
            event.data += value_of(line, name);
        }
    }
}

Event event_of(std::string_view lines)
{
    auto event = Event{};
    while (!lines.empty()) {
        auto const end = std::min(lines.find('\n'), lines.size());
        take_line(event, lines.substr(0, end));
        lines.remove_prefix(std::min(end + 1, lines.size()));
    }
    return event;
}

}  // namespace

std::vector<Event> EventParser::push(std::string_view text)
{
    // The break between two events may lie across the seam; what was searched before is not searched again.
    auto const seam = pending_.empty() ? 0 : pending_.size() - 1;
    pending_ += text;
    auto events = std::vector<Event>{};
    std::size_t begin = 0;
    for (auto end = pending_.find("\n\n", seam); end != std::string::npos; end = pending_.find("\n\n", begin)) {
        auto event = event_of(std::string_view(pending_).substr(begin, end - begin));
        if (!event.data.empty() && event.data != "[DONE]") {
            events.push_back(std::move(event));
        }
        begin = end + 2;
    }
    pending_.erase(0, begin);
    return events;
}

Result<std::vector<std::uint32_t>> tokens_of_id(std::string_view id)
{
    auto tokens = std::vector<std::uint32_t>{};
    for (auto const* at = id.data(); at != id.data() + id.size();) {
        auto const* const end = id.data() + id.size();
        auto token = std::uint32_t{0};
        auto const [behind, error] = std::from_chars(at, end, token);
        auto const is_last = behind == end;
        if (error != std::errc{} || tokens.size() == max_part_tokens ||
            (!is_last && (*behind != ',' || behind + 1 == end))) {
            return fail(ErrorKind::malformed, "the engine told tokens that are none");
        }
        tokens.push_back(token);
        at = is_last ? end : behind + 1;
    }
    return tokens;
}

std::optional<Error> error_of_event(std::string_view data)
{
    if (!data.starts_with("{\"error\"") && !data.starts_with("{\"code\"")) {
        return std::nullopt;
    }
    auto code = boost::system::error_code{};
    auto const json = boost::json::parse(data, code);
    auto const* object = json.if_object();
    if (code || object == nullptr) {
        return Error{ErrorKind::closed, "the engine sent what is no JSON"};
    }
    auto const* error = child(*object, "error");
    return error_from(error != nullptr ? *error : *object, 500);
}

Error error_of_status(std::uint32_t status, std::string_view body)
{
    auto code = boost::system::error_code{};
    auto const json = boost::json::parse(body, code);
    auto const* object = json.if_object();
    auto const* error = !code && object != nullptr ? child(*object, "error") : nullptr;
    if (error == nullptr) {
        return {kind_of(status, {}), fmt::format("the engine answered with status {}", status)};
    }
    return error_from(*error, status);
}

void read_timings(std::string_view chunk, Timings& timings)
{
    if (!chunk.contains("\"usage\"") && !chunk.contains("\"timings\"")) {
        return;
    }
    auto code = boost::system::error_code{};
    auto const json = boost::json::parse(chunk, code);
    auto const* object = json.if_object();
    if (code || object == nullptr) {
        return;
    }
    if (auto const* usage = child(*object, "usage")) {
        timings.prompt_tokens = std::max(timings.prompt_tokens, count(*usage, "prompt_tokens"));
        timings.completion_tokens += count(*usage, "completion_tokens");  // told once for each choice
    }
    if (auto const* measured = child(*object, "timings")) {
        timings.prefill_per_second = number(*measured, "prompt_per_second");
        timings.decode_per_second = number(*measured, "predicted_per_second");
        timings.drafted_tokens = count(*measured, "draft_n");
        timings.accepted_tokens = count(*measured, "draft_n_accepted");
    }
}

}  // namespace plexus::inference
