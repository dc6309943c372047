#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "commands.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr auto path = std::string_view("/api/v1/external-engines");

std::string text_of(json::value const& object, std::string_view name)
{
    return std::string(std::string_view(object.at(name).as_string()));
}

std::string context_text(json::value const& model)
{
    auto const tokens = model.at("context").to_number<std::uint64_t>();
    return tokens == 0 ? "not known" : std::to_string(tokens);
}

/// One line for each model; one for an engine without.
void print_engines(Terminal& terminal, json::array const& engines)
{
    auto rows = std::vector<std::vector<std::string>>{{"ENGINE", "STATE", "MODEL", "TOKENS", "GRADE"}};
    for (auto const& engine : engines) {
        auto const url = terminal.safe(text_of(engine, "url"));
        auto const state = text_of(engine, "state");
        auto const grade = text_of(engine, "grade");
        auto const& models = engine.at("models").as_array();
        for (auto const& model : models) {
            rows.push_back({url, state, terminal.safe(text_of(model, "name")), context_text(model), grade});
        }
        if (models.empty()) {
            rows.push_back({url, state, terminal.safe(text_of(engine, "problem")), "", grade});
        }
    }
    terminal.table(rows);
}

Outcome<> told(Context& context, std::string_view document, Outcome<json::value> answer)
{
    if (!answer) {
        auto failure = answer.error();
        if (failure.exit == ExitCode::not_found) {
            failure.next = "plexus engine ls";
        }
        return std::unexpected(std::move(failure));
    }
    if (context.options.json) {
        context.print_document(document, *answer);
    } else {
        auto engines = json::array{};
        engines.push_back(*answer);
        print_engines(context.terminal, engines);
    }
    return {};
}

}  // namespace

Task<Outcome<>> add_external_engine(Context& context, ExternalEngineOptions options)
{
    auto file = std::string{};
    if (!options.token_file.empty()) {
        auto code = std::error_code{};
        file = std::filesystem::absolute(options.token_file, code).lexically_normal().string();
    }
    auto body = json::object{{"url", options.url}, {"token_file", file}};
    auto answer = co_await context.client.post(std::string(path), std::move(body));
    auto outcome = told(context, "engine.add", std::move(answer));
    if (outcome && !context.options.json) {
        context.terminal.say("Next: plexus ask -m MODEL \"Name three colours\"");
    }
    co_return outcome;
}

Task<Outcome<>> list_external_engines(Context& context)
{
    auto const answer = co_await context.client.get(std::string(path));
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const& engines = answer->at("engines").as_array();
    if (context.options.json) {
        context.print_document("engine.ls", *answer);
    } else if (engines.empty()) {
        context.terminal.say("No server of yours is known. Next: plexus engine add URL");
    } else {
        print_engines(context.terminal, engines);
    }
    co_return Outcome<>{};
}

Task<Outcome<>> test_external_engine(Context& context, std::string url)
{
    auto const target = fmt::format("{}/{}/test", path, percent_encoded(url));
    auto answer = co_await context.client.post(target, json::object{});
    co_return told(context, "engine.test", std::move(answer));
}

Task<Outcome<>> remove_external_engine(Context& context, std::string url)
{
    auto answer = co_await context.client.remove(fmt::format("{}/{}", path, percent_encoded(url)));
    if (!answer || context.options.json) {
        co_return told(context, "engine.rm", std::move(answer));
    }
    context.terminal.line(fmt::format("{} is no longer used.", context.terminal.safe(url)));
    co_return Outcome<>{};
}

}  // namespace plexus::cli
