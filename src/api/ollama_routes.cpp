#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/ollama_answer.h"
#include "api/ollama_models.h"
#include "api/ollama_request.h"
#include "api/progress_lines.h"
#include "api/surface.h"
#include "api/task_answer.h"
#include "api/task_document.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

/// The version of Ollama whose API is spoken here: clients compare it with the one they need.
constexpr auto ollama_version = std::string_view("0.12.0");

Task<int> answer_ollama_problem(Exchange& exchange, Problem problem)
{
    std::ignore = co_await exchange.respond(with_common_headers(ollama_error(problem)));
    co_return problem.status;
}

Problem unknown_model(std::string const& name)
{
    return task_problem(Error{ErrorKind::not_found, ""}, name);
}

Problem not_here(std::string text)
{
    return {.status = 501,
            .code = "not_supported",
            .type = "invalid_request_error",
            .text = std::move(text),
            .param = "",
            .next = ""};
}

/// Our name for the model that the client named; the client's own if there is none.
std::string resolved(RouteContext& context, std::string const& name)
{
    auto const model = find_ollama_model(context.services.models.list(), name);
    return model ? model->id : name;
}

/// Keeps the answer within `num_ctx` tokens together with its prompt. A context larger than there is cannot be had by
/// asking; since nothing is ever cut, that is worth a word but no error.
Task<Check> honour_context(RouteContext& context, OllamaRequest& request, std::vector<std::string>& warnings)
{
    auto const wanted = request.context.value_or(0);
    auto task = InferenceTask{.model = resolved(context, request.model),
                              .body = json::serialize(request.task),
                              .kind = TaskKind::tokenize,
                              .keep_alive = request.keep_alive};
    auto const counted = co_await run_document_task(context, std::move(task));
    if (!counted) {
        co_return task_problem(counted.error(), request.model);
    }
    auto const number = [&](std::string_view name) {
        auto const* value = find(*counted, name);
        return value != nullptr && value->is_int64() ? value->get_int64() : 0;
    };
    auto const room = wanted - number("tokens");
    if (room <= 0) {
        auto problem = invalid_request(
            "num_ctx",
            fmt::format("the prompt has {} tokens, num_ctx allows {} with the answer", number("tokens"), wanted),
            "context_length_exceeded");
        co_return problem;
    }
    if (number("context") < wanted) {
        warnings.push_back(fmt::format("num_ctx {} was asked for, the context holds {}", wanted, number("context")));
    }
    auto const* length = find(request.task, "max_tokens");
    request.task["max_tokens"] = length != nullptr ? std::min(length->to_number<std::int64_t>(), room) : room;
    co_return std::nullopt;
}

/// A request that asks nothing: loads the model, or with a keep_alive of zero unloads it.
Task<int> load_or_unload(RouteContext& context, OllamaRequest const& request, OllamaDialect& dialect)
{
    auto const model = find_ollama_model(context.services.models.list(), request.model);
    if (!model) {
        co_return co_await answer_ollama_problem(context.exchange, unknown_model(request.model));
    }
    auto const unloads = request.keep_alive == Duration::zero();
    auto const engines = context.services.models.engines().engines;
    if (unloads && std::ranges::find(engines, model->digest, &EngineView::digest) != engines.end()) {
        if (auto const unloaded = context.services.models.unload(model->id); !unloaded) {
            co_return co_await answer_ollama_problem(context.exchange, problem_from(unloaded.error()));
        }
    } else if (!unloads || !model->loaded_on.empty()) {
        // Counting the tokens of a word needs the model in memory and nothing else.
        auto word = json::object{{"messages", json::array{json::object{{"role", "user"}, {"content", "."}}}}};
        auto kind = TaskKind::tokenize;
        if (!model->is_chat) {
            word = {{"input", "."}, {"encoding_format", "float"}};
            kind = TaskKind::embeddings;
        }
        auto task = InferenceTask{
            .model = model->id, .body = json::serialize(word), .kind = kind, .keep_alive = request.keep_alive};
        if (auto const done = co_await run_document_task(context, std::move(task)); !done) {
            co_return co_await answer_ollama_problem(context.exchange, task_problem(done.error(), request.model));
        }
    }
    co_return co_await answer_json(context.exchange, 200, dialect.nothing_asked(unloads ? "unload" : "load"));
}

Task<int> answer_ollama(RouteContext context, OllamaRequest request, OllamaAnswerOptions::Form form)
{
    auto options = OllamaAnswerOptions{.form = form,
                                       .model = request.model,
                                       .stream = request.stream,
                                       .prefill = request.prefill,
                                       .shows_thinking = request.shows_thinking};
    if (request.task.empty()) {
        auto dialect = OllamaDialect(context.env, std::move(options));
        co_return co_await load_or_unload(context, request, dialect);
    }
    if (request.context && request.kind == TaskKind::chat) {
        if (auto problem = co_await honour_context(context, request, options.warnings)) {
            co_return co_await answer_ollama_problem(context.exchange, std::move(*problem));
        }
    }
    auto dialect = OllamaDialect(context.env, std::move(options));
    auto task = InferenceTask{.model = resolved(context, request.model),
                              .body = json::serialize(request.task),
                              .kind = request.kind,
                              .keep_alive = request.keep_alive};
    co_return co_await answer_task(context, std::move(task), dialect, request.stream);
}

Task<int> answer_embed(RouteContext context, OllamaEmbedRequest request, OllamaEmbedDialect::Form form)
{
    auto dialect = OllamaEmbedDialect(context.env, form, request.model, request.dimensions);
    if (request.inputs == 0) {
        co_return co_await answer_json(context.exchange, 200, dialect.nothing_asked());
    }
    auto task = InferenceTask{.model = resolved(context, request.model),
                              .body = json::serialize(request.task),
                              .kind = TaskKind::embeddings,
                              .keep_alive = request.keep_alive};
    co_return co_await answer_task(context, std::move(task), dialect, false);
}

json::object pull_progress(ImportProgress const& progress)
{
    return {{"status", progress.stage}, {"completed", progress.done_bytes}, {"total", progress.total_bytes}};
}

json::object pull_done(json::object const&)
{
    return {{"status", "success"}};
}

json::object pull_failed(Problem const& problem)
{
    return {{"error", problem.text}};
}

constexpr auto pull_form = ProgressForm{"application/x-ndjson", pull_progress, pull_done, pull_failed};

template <typename Entry>
std::string list_text(std::vector<ModelView> const& models, Entry entry)
{
    auto list = json::array{};
    for (auto const& model : models) {
        list.push_back(entry(model));
    }
    return json::serialize(json::object{{"models", std::move(list)}});
}

}  // namespace

Task<int> show_ollama_root(RouteContext context)
{
    auto response = Response{200, {{"content-type", "text/plain; charset=utf-8"}}, "Ollama is running"};
    std::ignore = co_await context.exchange.respond(with_common_headers(std::move(response)));
    co_return 200;
}

Task<int> show_ollama_version(RouteContext context)
{
    auto const body = json::object{{"version", ollama_version}, {"plexus", context.services.control.status().version}};
    co_return co_await answer_json(context.exchange, 200, json::serialize(body));
}

Task<int> list_ollama_models(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200, list_text(context.services.models.list(), to_ollama_entry));
}

Task<int> list_loaded_ollama_models(RouteContext context)
{
    auto const engines = context.services.models.engines().engines;
    auto models = context.services.models.list();
    std::erase_if(models, [](ModelView const& model) { return model.loaded_on.empty(); });
    auto const entry = [&](ModelView const& model) {
        auto const engine = std::ranges::find(engines, model.digest, &EngineView::digest);
        return to_loaded_ollama_entry(model, engine == engines.end() ? nullptr : &*engine, context.env.wall_now());
    };
    co_return co_await answer_json(context.exchange, 200, list_text(models, entry));
}

Task<int> show_ollama_model(RouteContext context)
{
    auto const name = parse_ollama_model(context.request.body);
    if (!name) {
        co_return co_await answer_ollama_problem(context.exchange, name.error());
    }
    auto const model = find_ollama_model(context.services.models.list(), *name);
    if (!model) {
        co_return co_await answer_ollama_problem(context.exchange, unknown_model(*name));
    }
    auto details = Result<ModelDetails>(fail(ErrorKind::not_found, "not here"));
    if (model->is_local) {
        details = co_await context.services.models.details(model->id);
    }
    auto const body = to_ollama_description(*model, details ? &*details : nullptr);
    co_return co_await answer_json(context.exchange, 200, json::serialize(body));
}

Task<int> chat_as_ollama(RouteContext context)
{
    auto request = parse_ollama_chat(context.request.body);
    if (!request) {
        co_return co_await answer_ollama_problem(context.exchange, std::move(request.error()));
    }
    co_return co_await answer_ollama(std::move(context), std::move(*request), OllamaAnswerOptions::Form::chat);
}

Task<int> generate_as_ollama(RouteContext context)
{
    auto request = parse_ollama_generate(context.request.body);
    if (!request) {
        co_return co_await answer_ollama_problem(context.exchange, std::move(request.error()));
    }
    co_return co_await answer_ollama(std::move(context), std::move(*request), OllamaAnswerOptions::Form::generate);
}

Task<int> embed_as_ollama(RouteContext context)
{
    auto request = parse_ollama_embed(context.request.body);
    if (!request) {
        co_return co_await answer_ollama_problem(context.exchange, std::move(request.error()));
    }
    co_return co_await answer_embed(std::move(context), std::move(*request), OllamaEmbedDialect::Form::embed);
}

Task<int> embed_prompt_as_ollama(RouteContext context)
{
    auto request = parse_ollama_embeddings(context.request.body);
    if (!request) {
        co_return co_await answer_ollama_problem(context.exchange, std::move(request.error()));
    }
    co_return co_await answer_embed(std::move(context), std::move(*request), OllamaEmbedDialect::Form::embeddings);
}

Task<int> pull_ollama_model(RouteContext context)
{
    auto const request = parse_ollama_pull(context.request.body);
    if (!request) {
        co_return co_await answer_ollama_problem(context.exchange, request.error());
    }
    auto const order = PullOrder{.source = without_default_tag(request->model)};
    if (!request->stream) {
        auto const model = co_await context.services.models.pull(order, [](ImportProgress const&) {});
        if (!model) {
            co_return co_await answer_ollama_problem(context.exchange, problem_from(model.error()));
        }
        co_return co_await answer_json(context.exchange, 200, R"({"status":"success"})");
    }
    auto work = [&](ProgressReport report) -> Task<Result<json::object>> {
        auto const model = co_await context.services.models.pull(order, std::move(report));
        co_return transform(model, [](ModelView const&) { return json::object{}; });
    };
    co_return co_await answer_with_progress(context, std::move(work), pull_form);
}

Task<int> delete_ollama_model(RouteContext context)
{
    auto const name = parse_ollama_model(context.request.body);
    if (!name) {
        co_return co_await answer_ollama_problem(context.exchange, name.error());
    }
    auto const removed = co_await context.services.models.remove(resolved(context, *name));
    if (!removed) {
        co_return co_await answer_ollama_problem(context.exchange, problem_from(removed.error()));
    }
    std::ignore = co_await context.exchange.respond(with_common_headers({200, {}, ""}));
    co_return 200;
}

Task<int> copy_ollama_model(RouteContext context)
{
    co_return co_await answer_ollama_problem(context.exchange,
                                             not_here("A model has one name here; it cannot be copied."));
}

Task<int> create_ollama_model(RouteContext context)
{
    co_return co_await answer_ollama_problem(
        context.exchange,
        not_here("Models are not derived from others here: give system, template parameters and messages "
                 "with each request."));
}

Task<int> find_ollama_blob(RouteContext context)
{
    constexpr auto prefix = std::string_view("sha256:");
    auto const digest = context.argument.starts_with(prefix) ? context.argument.substr(prefix.size()) : std::string{};
    auto const models = context.services.models.list();
    auto const is_here = std::ranges::any_of(
        models, [&](ModelView const& model) { return model.is_local && model.digest == digest; });
    auto response = Response{is_here ? 200 : 404, {}, ""};
    std::ignore = co_await context.exchange.respond(with_common_headers(response));
    co_return response.status;
}

Task<int> upload_ollama_blob(RouteContext context)
{
    co_return co_await answer_ollama_problem(
        context.exchange, not_here("Files are not uploaded; import one of this device: plexus model import FILE"));
}

}  // namespace plexus::api
