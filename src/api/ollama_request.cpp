#include "api/ollama_request.h"

#include <array>
#include <charconv>
#include <cmath>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "api/chat_messages.h"
#include "api/chat_request.h"
#include "api/chat_tools.h"
#include "api/json_schema.h"
#include "api/message_parts.h"
#include "api/ollama_messages.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto longest_keep_alive = std::chrono::hours(24 * 3650);
constexpr auto for_ever = Duration(-1);
constexpr auto most_of_engine = double{std::numeric_limits<std::int32_t>::max()};

/// Options that the engine knows by the same name.
constexpr auto number_rules = std::array{
    NumberRule{"temperature", 0, 2, false},
    NumberRule{"top_p", 0, 1, false},
    NumberRule{"min_p", 0, 1, false},
    NumberRule{"typical_p", 0, 1, false},
    NumberRule{"top_k", -1, most_of_engine, true},
    NumberRule{"repeat_last_n", -1, most_of_engine, true},
    NumberRule{"repeat_penalty", 0, 10, false},
    NumberRule{"presence_penalty", -2, 2, false},
    NumberRule{"frequency_penalty", -2, 2, false},
    NumberRule{"seed", -unlimited, unlimited, true},
};

Check take_stop(json::object const& options, json::object& task)
{
    auto const* stop = find(options, "stop");
    if (stop == nullptr) {
        return std::nullopt;
    }
    auto const list = stop->is_array() ? stop->get_array() : json::array{*stop};
    auto kept = json::array{};
    for (auto const& each : list) {
        if (!each.is_string()) {
            return wrong_type("options.stop", "a string or an array of strings");
        }
        if (!each.get_string().empty()) {
            kept.push_back(each);
        }
    }
    if (kept.size() > max_stops) {
        return invalid_request("options.stop", fmt::format("'options.stop' may hold at most {} strings.", max_stops));
    }
    task["stop"] = std::move(kept);
    return std::nullopt;
}

/// How many tokens the answer may have; -1 and -2 mean as many as there is room for.
Check take_length(json::object const& options, OllamaRequest& request)
{
    if (auto problem = check_number(options, {"num_predict", -2, unlimited, true})) {
        return problem;
    }
    auto const* length = find(options, "num_predict");
    if (length != nullptr && length->to_number<double>() > 0) {
        auto const* name = request.kind == TaskKind::infill ? "n_predict" : "max_tokens";
        request.task[name] = static_cast<std::int64_t>(std::min(length->to_number<double>(), most_of_engine));
    }
    if (auto problem = check_number(options, {"num_ctx", 1, most_of_engine, true})) {
        return problem;
    }
    if (auto const* context = find(options, "num_ctx")) {
        request.context = static_cast<std::uint32_t>(context->to_number<double>());
    }
    return std::nullopt;
}

Check take_options(json::object const& body, OllamaRequest& request)
{
    auto const* found = find(body, "options");
    if (found == nullptr) {
        return std::nullopt;
    }
    if (!found->is_object()) {
        return wrong_type("options", "an object");
    }
    auto const& options = found->get_object();
    for (auto const& rule : number_rules) {
        auto const* value = find(options, rule.name);
        if (value == nullptr) {
            continue;
        }
        if (auto problem = check_number(options, rule)) {
            return problem;
        }
        request.task[rule.name] = rule.whole ? json::value(static_cast<std::int64_t>(value->to_number<double>()))
                                             : *value;
    }
    if (auto problem = take_stop(options, request.task)) {
        return problem;
    }
    return take_length(options, request);
}

Check take_format(json::object const& body, OllamaRequest& request)
{
    auto const* format = find(body, "format");
    if (format == nullptr || (format->is_string() && format->get_string().empty())) {
        return std::nullopt;
    }
    if (request.kind != TaskKind::chat) {
        return invalid_request("format", "'format' goes with neither 'raw' nor 'suffix'.");
    }
    if (format->is_object()) {
        request.task["response_format"] = schema_format(*format);
        return check_schema(*format, "format");
    }
    if (!format->is_string() || format->get_string() != "json") {
        return invalid_request("format", "'format' must be \"json\" or a JSON schema.");
    }
    request.task["response_format"] = json::object{{"type", "json_object"}};
    return std::nullopt;
}

Check take_thinking(json::object const& body, OllamaRequest& request)
{
    auto const* think = find(body, "think");
    if (think == nullptr || request.kind != TaskKind::chat) {
        return std::nullopt;
    }
    auto const level = think->is_string() ? std::string_view(think->get_string()) : std::string_view();
    if (!think->is_bool() && level != "low" && level != "medium" && level != "high") {
        return invalid_request("think", "'think' must be true, false, low, medium or high.");
    }
    request.shows_thinking = !think->is_bool() || think->get_bool();
    request.task["chat_template_kwargs"] = json::object{{"enable_thinking", request.shows_thinking}};
    if (!level.empty()) {
        request.task["reasoning_effort"] = level;
    }
    return std::nullopt;
}

Check take_keep_alive(json::object const& body, std::optional<Duration>& keep_alive)
{
    auto const* value = find(body, "keep_alive");
    if (value == nullptr) {
        return std::nullopt;
    }
    keep_alive = parse_keep_alive(*value);
    return keep_alive ? Check() : wrong_type("keep_alive", "a number of seconds or a time such as \"5m\"");
}

Check take_tools(json::object const& body, OllamaRequest& request)
{
    auto const* tools = find(body, "tools");
    if (tools == nullptr) {
        return std::nullopt;
    }
    if (!tools->is_array() || tools->get_array().size() > max_tools) {
        return wrong_type("tools", fmt::format("an array of at most {} tools", max_tools));
    }
    auto kept = json::array{};
    for (auto const& tool : tools->get_array()) {
        auto const* function = tool.is_object() ? find(tool.get_object(), "function") : nullptr;
        if (function == nullptr || !function->is_object() || text_of(function->get_object(), "name").empty()) {
            return wrong_type("tools", "an array of tools that have a 'function' with a name");
        }
        auto const* parameters = find(function->get_object(), "parameters");
        if (auto problem = parameters == nullptr ? std::nullopt : check_schema(*parameters, "tools")) {
            return problem;
        }
        kept.push_back(json::object{{"type", "function"}, {"function", *function}});
    }
    if (!kept.empty()) {
        request.task["tools"] = std::move(kept);
    }
    return std::nullopt;
}

/// What all requests that are answered with text have in common; `kind` must be known.
Check take_common(json::object const& body, OllamaRequest& request)
{
    request.task["stream"] = true;
    request.task["stream_options"] = json::object{{"include_usage", true}};
    auto problem = check_flag(body, "stream");
    problem = problem ? problem : take_options(body, request);
    problem = problem ? problem : take_format(body, request);
    problem = problem ? problem : take_thinking(body, request);
    problem = problem ? problem : take_keep_alive(body, request.keep_alive);
    auto const* stream = find(body, "stream");
    request.stream = problem || stream == nullptr || stream->get_bool();
    return problem;
}

Check take_messages(json::object const& body, OllamaRequest& request)
{
    auto const* messages = find(body, "messages");
    if (messages == nullptr) {
        return std::nullopt;
    }
    if (!messages->is_array() || messages->get_array().size() > max_messages) {
        return wrong_type("messages", fmt::format("an array of at most {} messages", max_messages));
    }
    auto translation = OllamaMessages{};
    auto const& list = messages->get_array();
    for (std::size_t index = 0; index < list.size(); ++index) {
        if (auto problem = translation.add(list[index], fmt::format("messages[{}]", index))) {
            return problem;
        }
    }
    if (!list.empty()) {
        auto const& last = translation.messages.back().get_object();
        if (text_of(last, "role") == "assistant" && !last.contains("tool_calls")) {
            request.prefill = text_of(last, "content");
        }
        request.task["messages"] = std::move(translation.messages);
    }
    return std::nullopt;
}

std::expected<json::object, Problem> parse_body(std::string_view text)
{
    auto body = parse_fields(text);
    if (!body) {
        return body;
    }
    if (auto const* name = find(*body, "name"); name != nullptr && !body->contains("model")) {
        auto copy = *name;
        (*body)["model"] = std::move(copy);
    }
    if (auto problem = check_model(*body)) {
        return std::unexpected(std::move(*problem));
    }
    return body;
}

/// The system prompt and the prompt with its images as the messages of a chat.
Check take_prompt(json::object const& body, OllamaRequest& request)
{
    auto messages = json::array{};
    if (auto const system = text_of(body, "system"); !system.empty()) {
        messages.push_back(json::object{{"role", "system"}, {"content", system}});
    }
    auto parts = json::array{text_part(text_of(body, "prompt"))};
    if (auto problem = add_images(body, "images", parts)) {
        return problem;
    }
    messages.push_back(json::object{{"role", "user"}, {"content", content_of(std::move(parts), "")}});
    request.task["messages"] = std::move(messages);
    return std::nullopt;
}

Check take_generation(json::object const& body, OllamaRequest& request)
{
    for (auto const name : {"prompt", "system", "suffix", "template"}) {
        if (auto problem = check_text(body, name)) {
            return problem;
        }
    }
    if (auto problem = check_flag(body, "raw")) {
        return problem;
    }
    auto const suffix = text_of(body, "suffix");
    request.kind = !suffix.empty() ? TaskKind::infill : flag_of(body, "raw") ? TaskKind::completion : TaskKind::chat;
    if (auto problem = take_common(body, request)) {
        return problem;
    }
    if (request.kind == TaskKind::chat) {
        return take_prompt(body, request);
    }
    if (request.kind == TaskKind::infill) {
        request.task["input_prefix"] = text_of(body, "prompt");
        request.task["input_suffix"] = suffix;
        request.task.erase("stream_options");
    } else {
        request.task["prompt"] = text_of(body, "prompt");
    }
    return std::nullopt;
}

std::optional<double> unit_in_seconds(std::string_view unit)
{
    constexpr auto units = std::array{
        std::pair{std::string_view("ns"), 1e-9}, std::pair{std::string_view("us"), 1e-6},
        std::pair{std::string_view("ms"), 1e-3}, std::pair{std::string_view("s"), 1.0},
        std::pair{std::string_view("m"), 60.0},  std::pair{std::string_view("h"), 3600.0}};
    auto const found = std::ranges::find(units, unit, [](auto const& each) { return each.first; });
    return found == units.end() ? std::nullopt : std::optional(found->second);
}

/// "1h30m" or "300" in seconds.
std::optional<double> parse_seconds(std::string_view text)
{
    auto const is_negative = text.starts_with('-');
    text.remove_prefix(is_negative ? 1 : 0);
    auto seconds = std::optional<double>();
    while (!text.empty()) {
        auto number = 0.0;
        auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number,
                                                  std::chars_format::fixed);
        if (error != std::errc() || number < 0) {
            return std::nullopt;
        }
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        auto const unit_end = std::min(text.find_first_of("0123456789."), text.size());
        auto const is_bare = unit_end == 0 && !seconds && text.empty();
        auto const unit = is_bare ? std::optional(1.0) : unit_in_seconds(text.substr(0, unit_end));
        if (!unit) {
            return std::nullopt;
        }
        seconds = seconds.value_or(0) + number * *unit;
        text.remove_prefix(unit_end);
    }
    return seconds && is_negative ? -*seconds : seconds;
}

}  // namespace

std::optional<Duration> parse_keep_alive(json::value const& value)
{
    auto seconds = std::optional<double>();
    if (value.is_string()) {
        seconds = parse_seconds(value.get_string());
    } else if (value.is_number()) {
        seconds = value.to_number<double>();
    }
    if (!seconds || !std::isfinite(*seconds)) {
        return std::nullopt;
    }
    if (*seconds < 0) {
        return for_ever;
    }
    auto const longest = std::chrono::duration<double>(longest_keep_alive);
    return std::chrono::duration_cast<Duration>(std::min(std::chrono::duration<double>(*seconds), longest));
}

std::expected<OllamaRequest, Problem> parse_ollama_chat(std::string_view text)
{
    auto const body = parse_body(text);
    if (!body) {
        return std::unexpected(body.error());
    }
    auto request = OllamaRequest{.model = std::string(body->at("model").get_string())};
    auto problem = take_common(*body, request);
    problem = problem ? problem : take_tools(*body, request);
    problem = problem ? problem : take_messages(*body, request);
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    request.task["model"] = request.model;
    if (!request.task.contains("messages")) {
        request.task.clear();
    }
    return request;
}

std::expected<OllamaRequest, Problem> parse_ollama_generate(std::string_view text)
{
    auto const body = parse_body(text);
    if (!body) {
        return std::unexpected(body.error());
    }
    auto request = OllamaRequest{.model = std::string(body->at("model").get_string())};
    if (auto problem = take_generation(*body, request)) {
        return std::unexpected(std::move(*problem));
    }
    request.task["model"] = request.model;
    if (text_of(*body, "prompt").empty() && text_of(*body, "suffix").empty() && !body->contains("images")) {
        request.task.clear();
    }
    return request;
}

namespace {

std::expected<OllamaEmbedRequest, Problem> embed_request(json::object const& body, json::array inputs)
{
    auto request = OllamaEmbedRequest{.model = std::string(body.at("model").get_string())};
    if (auto problem = take_keep_alive(body, request.keep_alive)) {
        return std::unexpected(std::move(*problem));
    }
    request.inputs = inputs.size();
    request.task = {{"model", request.model}, {"input", std::move(inputs)}, {"encoding_format", "float"}};
    return request;
}

}  // namespace

std::expected<OllamaEmbedRequest, Problem> parse_ollama_embed(std::string_view text)
{
    auto const body = parse_body(text);
    if (!body) {
        return std::unexpected(body.error());
    }
    auto const* input = find(*body, "input");
    auto inputs = input == nullptr ? json::array{} : input->is_array() ? input->get_array() : json::array{*input};
    if (!std::ranges::all_of(inputs, [](json::value const& each) { return each.is_string(); }) ||
        inputs.size() > max_embed_inputs) {
        return std::unexpected(
            wrong_type("input", fmt::format("a string or an array of at most {}", max_embed_inputs)));
    }
    if (auto problem = check_number(*body, {"dimensions", 1, most_of_engine, true})) {
        return std::unexpected(std::move(*problem));
    }
    auto request = embed_request(*body, std::move(inputs));
    if (auto const* dimensions = find(*body, "dimensions"); request && dimensions != nullptr) {
        request->dimensions = static_cast<std::size_t>(dimensions->to_number<double>());
    }
    return request;
}

std::expected<OllamaEmbedRequest, Problem> parse_ollama_embeddings(std::string_view text)
{
    auto const body = parse_body(text);
    if (!body) {
        return std::unexpected(body.error());
    }
    if (auto problem = check_text(*body, "prompt")) {
        return std::unexpected(std::move(*problem));
    }
    auto const prompt = text_of(*body, "prompt");
    return embed_request(*body, prompt.empty() ? json::array{} : json::array{json::string(prompt)});
}

std::expected<std::string, Problem> parse_ollama_model(std::string_view text)
{
    auto const body = parse_body(text);
    if (!body) {
        return std::unexpected(body.error());
    }
    return std::string(body->at("model").get_string());
}

std::expected<OllamaPullRequest, Problem> parse_ollama_pull(std::string_view text)
{
    auto const body = parse_body(text);
    if (!body) {
        return std::unexpected(body.error());
    }
    if (auto problem = check_flag(*body, "stream")) {
        return std::unexpected(std::move(*problem));
    }
    return OllamaPullRequest{.model = std::string(body->at("model").get_string()),
                             .stream = !body->contains("stream") || flag_of(*body, "stream")};
}

}  // namespace plexus::api
