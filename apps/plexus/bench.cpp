#include <boost/json/object.hpp>

#include "commands.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr auto runs = 3;
constexpr auto prompt_words = 160;  // about 200 tokens
constexpr auto answer_tokens = 64;

struct Speed {
    double prefill = 0;
    double decode = 0;
};

/// Reads all of the prompt anew and answers at full length.
json::object request(std::string const& model)
{
    auto text = std::string("Go on with this list:");
    for (auto word = 0; word < prompt_words; ++word) {
        text += word % 2 == 0 ? " river" : " stone";
    }
    return {{"model", model},
            {"messages", json::array{json::object{{"role", "user"}, {"content", text}}}},
            {"max_tokens", answer_tokens},
            {"temperature", 0},
            {"cache_prompt", false},
            {"ignore_eos", true}};
}

double rate_in(json::value const& answer, std::string_view name)
{
    auto const* timings = answer.as_object().if_contains("timings");
    auto const* rate = timings != nullptr && timings->is_object() ? timings->get_object().if_contains(name) : nullptr;
    return rate != nullptr && rate->is_number() ? rate->to_number<double>() : 0;
}

/// The middle of an odd number of runs.
double median(std::vector<double> values)
{
    std::ranges::sort(values);
    return values[values.size() / 2];
}

Task<Outcome<Speed>> measure(Context& context, std::string model)
{
    auto prefill = std::vector<double>{};
    auto decode = std::vector<double>{};
    for (auto run = 0; run < runs; ++run) {
        context.terminal.progress(fmt::format("{}: run {} of {}", model, run + 1, runs));
        auto const answer = co_await context.client.post("/v1/chat/completions", request(model));
        context.terminal.clear_progress();
        if (!answer) {
            co_return std::unexpected(answer.error());
        }
        prefill.push_back(rate_in(*answer, "prompt_per_second"));
        decode.push_back(rate_in(*answer, "predicted_per_second"));
    }
    co_return Speed{median(std::move(prefill)), median(std::move(decode))};
}

Task<Outcome<std::vector<std::string>>> models_here(Context& context)
{
    auto const answer = co_await context.client.get("/api/v1/models");
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto names = std::vector<std::string>{};
    for (auto const& model : answer->at("models").as_array()) {
        if (model.at("local").as_bool() && model.at("chat").as_bool()) {
            names.emplace_back(model.at("id").as_string());
        }
    }
    if (names.empty()) {
        co_return failed(ExitCode::not_found, "no_model", "There is no chat model on this device.", "",
                         "plexus model import FILE.gguf");
    }
    co_return names;
}

}  // namespace

Task<Outcome<>> measure_models(Context& context, std::string name)
{
    auto names = std::vector<std::string>{name};
    if (name.empty()) {
        auto here = co_await models_here(context);
        if (!here) {
            co_return std::unexpected(here.error());
        }
        names = std::move(*here);
    }
    auto rows = std::vector<std::vector<std::string>>{{"MODEL", "READS", "ANSWERS"}};
    auto list = json::array{};
    for (auto const& each : names) {
        auto const speed = co_await measure(context, each);
        if (!speed) {
            co_return std::unexpected(speed.error());
        }
        rows.push_back({context.terminal.safe(each), fmt::format("{:.0f} tokens/s", speed->prefill),
                        fmt::format("{:.0f} tokens/s", speed->decode)});
        list.emplace_back(json::object{{"model", each},
                                       {"prefill_per_second", speed->prefill},
                                       {"decode_per_second", speed->decode},
                                       {"runs", runs}});
    }
    if (context.options.json) {
        context.print_document("bench.model", std::move(list));
    } else {
        context.terminal.table(rows);
    }
    co_return Outcome<>{};
}

}  // namespace plexus::cli
