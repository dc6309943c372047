#include "api/completion_request.h"

#include <array>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "api/chat_request.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto number_rules = std::array{
    NumberRule{"max_tokens", 0, unlimited, true},    NumberRule{"n", 1, max_completions, true},
    NumberRule{"best_of", 1, max_completions, true}, NumberRule{"logprobs", 0, 20, true},
    NumberRule{"seed", -unlimited, unlimited, true},
};

constexpr std::int64_t default_tokens = 16;  // as OpenAI has it for this route
constexpr auto not_for_engines = std::array<std::string_view, 9>{"n",    "n_cmpl", "best_of", "suffix",         "echo",
                                                                 "user", "prompt", "id_slot", "return_progress"};

bool is_token(json::value const& value)
{
    return value.is_int64() && value.get_int64() >= 0 && value.get_int64() <= std::numeric_limits<std::int32_t>::max();
}

bool is_prompt(json::value const& value)
{
    auto const are_tokens = [](json::array const& list) {
        return !list.empty() && std::ranges::all_of(list, is_token);
    };
    return value.is_string() || (value.is_array() && are_tokens(value.get_array()));
}

/// A text, tokens, or a list of those.
std::expected<json::array, Problem> prompts_of(json::object const& body)
{
    auto const* prompt = body.if_contains("prompt");
    if (prompt == nullptr) {
        return std::unexpected(invalid_request("prompt", "'prompt' is missing.", "missing_field"));
    }
    if (is_prompt(*prompt)) {
        return json::array{*prompt};
    }
    auto const is_list = prompt->is_array() && !prompt->get_array().empty() &&
                         std::ranges::all_of(prompt->get_array(), is_prompt);
    if (!is_list) {
        return std::unexpected(wrong_type("prompt", "a string, an array of token ids, or an array of those"));
    }
    if (prompt->get_array().size() > max_prompts) {
        return std::unexpected(invalid_request("prompt", fmt::format("At most {} prompts are taken.", max_prompts)));
    }
    return prompt->get_array();
}

Check check_fields(json::object const& body)
{
    auto problem = check_numbers(body, sampling_rules);
    problem = problem ? problem : check_numbers(body, number_rules);
    problem = problem ? problem : check_flag(body, "stream");
    problem = problem ? problem : check_flag(body, "echo");
    problem = problem ? problem : check_text(body, "suffix");
    problem = problem ? problem : check_text(body, "user");
    if (!problem && whole_number_of(body, "best_of").value_or(1) > whole_number_of(body, "n").value_or(1)) {
        return invalid_request("best_of", "'best_of' must not be larger than 'n': every choice is given out.");
    }
    return problem;
}

Check check_usage(json::object const& body, bool& include_usage)
{
    auto const* options = body.if_contains("stream_options");
    if (options == nullptr) {
        return std::nullopt;
    }
    if (!options->is_object()) {
        return wrong_type("stream_options", "an object");
    }
    include_usage = flag_of(options->get_object(), "include_usage");
    return std::nullopt;
}

/// Fill-in-the-middle takes text on both sides of the gap.
Check check_suffix(json::object const& body, json::array const& prompts)
{
    auto const is_text = [](json::value const& prompt) { return prompt.is_string(); };
    auto const are_texts = std::ranges::all_of(prompts, is_text);
    if (!text_of(body, "suffix").empty() && !are_texts) {
        return invalid_request("suffix", "'suffix' needs a 'prompt' that is text.");
    }
    if (flag_of(body, "echo") && !are_texts) {
        return invalid_request("echo", "'echo' needs a 'prompt' that is text.");
    }
    return std::nullopt;
}

/// The body of a task but for its prompt and seed.
json::object common_body(json::object const& body)
{
    auto common = body;
    for (auto const name : not_for_engines) {
        common.erase(name);
    }
    common["stream"] = true;
    common["stream_options"] = json::object{{"include_usage", true}};
    common["max_tokens"] = whole_number_of(body, "max_tokens").value_or(default_tokens);
    clamp_counts(common);
    return common;
}

InferenceTask task_of(json::object common, json::value const& prompt, std::string_view suffix)
{
    if (suffix.empty()) {
        common["prompt"] = prompt;
        return {.body = json::serialize(common), .kind = TaskKind::completion};
    }
    common["input_prefix"] = prompt;
    common["input_suffix"] = suffix;
    common["n_predict"] = common.at("max_tokens");
    return {.body = json::serialize(common), .kind = TaskKind::infill};
}

Check add_tasks(CompletionRequest& request, json::object const& body, json::array const& prompts)
{
    auto common = common_body(body);
    auto const seed = whole_number_of(body, "seed");
    auto bytes = std::size_t{0};
    for (auto const& prompt : prompts) {
        for (std::size_t choice = 0; choice < request.choices_of_prompt; ++choice) {
            if (seed) {
                common["seed"] = *seed + static_cast<std::int64_t>(choice);
            }
            request.tasks.push_back(task_of(common, prompt, text_of(body, "suffix")));
            request.tasks.back().model = request.model;
            bytes += request.tasks.back().body.size();
            if (bytes > max_tasks_bytes) {
                return invalid_request("n", "The prompts are too long to be answered that many times.");
            }
            request.echoes.emplace_back(flag_of(body, "echo") ? std::string(prompt.get_string()) : std::string());
        }
    }
    return std::nullopt;
}

}  // namespace

std::expected<CompletionRequest, Problem> parse_completion_request(std::string_view text)
{
    auto body = parse_fields(text);
    if (!body) {
        return std::unexpected(std::move(body.error()));
    }
    auto request = CompletionRequest{};
    auto problem = check_model(*body);
    problem = problem ? problem : check_fields(*body);
    problem = problem ? problem : check_bias(*body);
    problem = problem ? problem : check_stop(*body);
    problem = problem ? problem : check_usage(*body, request.include_usage);
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    auto const prompts = prompts_of(*body);
    if (!prompts) {
        return std::unexpected(prompts.error());
    }
    request.choices_of_prompt = static_cast<std::size_t>(whole_number_of(*body, "n").value_or(1));
    if (prompts->size() * request.choices_of_prompt > max_completions) {
        return std::unexpected(
            invalid_request("n", fmt::format("'n' times the number of prompts must be at most {}.", max_completions)));
    }
    request.model = body->at("model").get_string();
    request.stream = flag_of(*body, "stream");
    problem = check_suffix(*body, *prompts);
    problem = problem ? problem : add_tasks(request, *body, *prompts);
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    return request;
}

}  // namespace plexus::api
