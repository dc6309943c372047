#include "api/chat_request.h"

#include <array>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "api/json_schema.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto most_of_engine = std::int64_t{std::numeric_limits<std::int32_t>::max()};

constexpr auto number_rules = std::array{
    NumberRule{"max_tokens", 1, unlimited, true},
    NumberRule{"n", 1, max_choices, true},
    NumberRule{"max_completion_tokens", 1, unlimited, true},
    NumberRule{"top_logprobs", 0, 20, true},
    NumberRule{"seed", -unlimited, unlimited, true},
};

constexpr auto flags = std::array<std::string_view, 4>{"stream", "logprobs", "parallel_tool_calls", "store"};
constexpr auto efforts = std::array<std::string_view, 7>{"none", "minimal", "low", "medium", "high", "xhigh", "max"};
constexpr auto tiers = std::array<std::string_view, 6>{"auto", "default", "flex", "scale", "priority", "standard_only"};
constexpr auto format_types = std::array<std::string_view, 3>{"text", "json_object", "json_schema"};
constexpr auto verbosities = std::array<std::string_view, 3>{"low", "medium", "high"};
/// Of no meaning to an engine, or of one that would break the answer.
constexpr auto not_for_engines = std::array<std::string_view, 7>{"n",        "n_cmpl",     "id_slot",        "store",
                                                                 "metadata", "modalities", "return_progress"};

Check check_format(json::object const& body)
{
    auto const* format = body.if_contains("response_format");
    if (format == nullptr) {
        return std::nullopt;
    }
    if (!format->is_object() || text_of(format->get_object(), "type").empty()) {
        return wrong_type("response_format", "an object with a 'type'");
    }
    auto const& fields = format->get_object();
    auto const type = text_of(fields, "type");
    if (std::ranges::find(format_types, type) == format_types.end()) {
        return invalid_request("response_format", "'response_format.type' must be text, json_object or json_schema.");
    }
    auto const* wrapper = find(fields, "json_schema");
    if (type == "json_schema" && (wrapper == nullptr || !wrapper->is_object())) {
        return wrong_type("response_format.json_schema", "an object with a 'name' and a 'schema'");
    }
    auto const* schema = find(type == "json_schema" ? wrapper->get_object() : fields, "schema");
    return schema == nullptr ? std::nullopt : check_schema(*schema, "response_format");
}

/// An engine answers with text alone.
Check check_modalities(json::object const& body)
{
    auto const* modalities = body.if_contains("modalities");
    if (modalities == nullptr || *modalities == json::array{"text"}) {
        return std::nullopt;
    }
    return invalid_request("modalities", "'modalities' must be [\"text\"]: models answer with text here.");
}

Check check_logprobs(json::object const& body)
{
    auto const* tools = body.if_contains("tools");
    if (flag_of(body, "logprobs") && tools != nullptr && !tools->get_array().empty()) {
        return invalid_request("logprobs", "'logprobs' and 'tools' cannot be had together.");
    }
    if (!flag_of(body, "logprobs") && body.contains("top_logprobs")) {
        return invalid_request("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.");
    }
    return std::nullopt;
}

/// The engine takes no count of 0 and, without one, gives 20.
void settle_logprobs(json::object& body)
{
    if (flag_of(body, "logprobs")) {
        body["top_logprobs"] = std::max<std::int64_t>(whole_number_of(body, "top_logprobs").value_or(0), 1);
    }
}

Check check_old_functions(json::object const& body)
{
    for (auto const name : {"functions", "function_call"}) {
        if (body.contains(name)) {
            return invalid_request(name, fmt::format("'{}' is no longer taken: use 'tools' and 'tool_choice'.", name),
                                   "unsupported_parameter");
        }
    }
    return std::nullopt;
}

/// Templates know low, medium and high, or only whether to think at all.
void settle_effort(json::object& body)
{
    auto const effort = text_of(body, "reasoning_effort");
    if (effort == "minimal") {
        body["reasoning_effort"] = "low";
    } else if (effort == "xhigh" || effort == "max") {
        body["reasoning_effort"] = "high";
    }
}

Check check_simple_fields(json::object const& body)
{
    auto problem = check_numbers(body, sampling_rules);
    problem = problem ? problem : check_numbers(body, number_rules);
    problem = problem ? problem : check_flags(body, flags);
    problem = problem ? problem : check_text(body, "user");
    problem = problem ? problem : check_word(body, "reasoning_effort", efforts);
    problem = problem ? problem : check_word(body, "service_tier", tiers);
    problem = problem ? problem : check_word(body, "verbosity", verbosities);
    auto const* settings = body.if_contains("chat_template_kwargs");
    if (!problem && settings != nullptr && !settings->is_object()) {
        return wrong_type("chat_template_kwargs", "an object");
    }
    return problem;
}

/// Takes `stream_options` out of what the client asked for and sets what the mesh needs.
Check take_stream_options(json::object& body, ChatRequest& request)
{
    auto const* stream = body.if_contains("stream");
    request.stream = stream != nullptr && stream->get_bool();
    if (auto const* options = body.if_contains("stream_options")) {
        if (!options->is_object()) {
            return wrong_type("stream_options", "an object");
        }
        auto const* usage = options->get_object().if_contains("include_usage");
        if (usage != nullptr && !usage->is_bool()) {
            return wrong_type("stream_options.include_usage", "true or false");
        }
        if (!request.stream) {
            return invalid_request("stream_options", "'stream_options' needs 'stream' to be true.");
        }
        request.include_usage = usage != nullptr && usage->get_bool();
    }
    body["stream"] = true;
    body["stream_options"] = json::object{{"include_usage", true}};
    return std::nullopt;
}

/// Bodies of the choices after the first.
std::vector<std::string> other_bodies_of(json::object body, std::int64_t choices)
{
    auto const seed = whole_number_of(body, "seed");
    auto bodies = std::vector<std::string>{};
    for (std::int64_t index = 1; index < choices; ++index) {
        if (seed) {
            body["seed"] = *seed + index;
        }
        bodies.push_back(json::serialize(body));
    }
    return bodies;
}

}  // namespace

Check check_bias(json::object const& body)
{
    auto const* bias = body.if_contains("logit_bias");
    if (bias == nullptr) {
        return std::nullopt;
    }
    if (!bias->is_object() || bias->get_object().size() > max_biased_tokens) {
        return wrong_type("logit_bias",
                          fmt::format("an object of at most {} token ids and numbers", max_biased_tokens));
    }
    for (auto const& entry : bias->get_object()) {
        auto const is_id = !entry.key().empty() && entry.key().size() <= 9 &&
                           std::ranges::all_of(entry.key(), [](char letter) { return letter >= '0' && letter <= '9'; });
        auto const wrapped = json::object{{"logit_bias", entry.value()}};
        if (!is_id) {
            return invalid_request("logit_bias", "The names in 'logit_bias' must be token ids.");
        }
        if (auto problem = check_number(wrapped, {"logit_bias", -100, 100, false})) {
            return problem;
        }
    }
    return std::nullopt;
}

Check check_stop(json::object& body)
{
    auto* stop = body.if_contains("stop");
    if (stop == nullptr) {
        return std::nullopt;
    }
    if (stop->is_string()) {
        if (stop->get_string().empty()) {
            body.erase("stop");
        }
        return std::nullopt;
    }
    auto const is_text = [](json::value const& each) { return each.is_string(); };
    if (!stop->is_array() || !std::ranges::all_of(stop->get_array(), is_text)) {
        return wrong_type("stop", "a string or an array of strings");
    }
    auto& list = stop->get_array();
    if (list.size() > max_stops) {
        return invalid_request("stop", fmt::format("'stop' may hold at most {} strings.", max_stops));
    }
    list.erase(std::remove(list.begin(), list.end(), json::value("")), list.end());
    return std::nullopt;
}

void clamp_counts(json::object& body)
{
    for (auto const name : {"max_tokens", "max_completion_tokens", "top_k"}) {
        auto* value = body.if_contains(name);
        if (value != nullptr && value->to_number<double>() > static_cast<double>(most_of_engine)) {
            *value = most_of_engine;
        }
    }
}

std::expected<ChatRequest, Problem> parse_chat_request(std::string_view text)
{
    auto parsed = parse_object(text);
    if (!parsed) {
        return std::unexpected(std::move(parsed.error()));
    }
    return check_chat_request(std::move(*parsed));
}

std::expected<ChatRequest, Problem> check_chat_request(json::object body)
{
    drop_nulls(body);
    for (auto const check :
         {check_model, check_simple_fields, check_bias, check_old_functions, check_format, check_modalities}) {
        if (auto problem = check(body)) {
            return std::unexpected(std::move(*problem));
        }
    }
    for (auto const check : {check_stop, check_tools, check_messages}) {
        if (auto problem = check(body)) {
            return std::unexpected(std::move(*problem));
        }
    }
    if (auto problem = check_logprobs(body)) {
        return std::unexpected(std::move(*problem));
    }
    auto request = ChatRequest{};
    if (auto problem = take_stream_options(body, request)) {
        return std::unexpected(std::move(*problem));
    }
    clamp_counts(body);
    settle_effort(body);
    settle_logprobs(body);
    auto const choices = whole_number_of(body, "n").value_or(1);
    for (auto const name : not_for_engines) {
        body.erase(name);
    }
    request.model = body.at("model").get_string();
    request.task_body = json::serialize(body);
    request.other_bodies = other_bodies_of(std::move(body), choices);
    return request;
}

}  // namespace plexus::api
