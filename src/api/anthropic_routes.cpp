#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/anthropic_answer.h"
#include "api/anthropic_request.h"
#include "api/model_names.h"
#include "api/surface.h"
#include "api/task_answer.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

json::object to_anthropic_json(ModelView const& model)
{
    return {{"type", "model"},
            {"id", model.id},
            {"display_name", model.id},
            {"created_at", rfc3339(seconds_since_1970(model.created_seconds))},
            {"lifecycle", "active"},
            {"max_input_tokens", model.context_length},
            {"max_tokens", model.context_length}};
}

Task<int> answer_anthropic_problem(Exchange& exchange, Problem problem)
{
    auto response = anthropic_error(problem, exchange.request_id());
    auto const status = response.status;
    std::ignore = co_await exchange.respond(with_common_headers(std::move(response)));
    co_return status;
}

}  // namespace

Task<int> list_anthropic_models(RouteContext context)
{
    auto data = json::array{};
    for (auto const& model : context.services.models.list()) {
        data.push_back(to_anthropic_json(model));
    }
    auto const first = data.empty() ? json::value() : data.front().at("id");
    auto const last = data.empty() ? json::value() : data.back().at("id");
    auto list = json::object{{"data", std::move(data)}, {"has_more", false}, {"first_id", first}, {"last_id", last}};
    co_return co_await answer_json(context.exchange, 200, json::serialize(list));
}

Task<int> show_anthropic_model(RouteContext context)
{
    auto const model = find_model(context.services.models.list(), context.argument);
    if (!model) {
        auto problem = task_problem(Error{ErrorKind::not_found, ""}, context.argument);
        co_return co_await answer_anthropic_problem(context.exchange, std::move(problem));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_anthropic_json(*model)));
}

Task<int> create_message(RouteContext context)
{
    auto request = parse_anthropic_request(context.request.body, AnthropicUse::message);
    if (!request) {
        co_return co_await answer_anthropic_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = AnthropicDialect({.model = request->model,
                                     .request_id = context.exchange.request_id(),
                                     .stream = request->stream,
                                     .prefill = std::move(request->prefill),
                                     .shows_thinking = request->shows_thinking,
                                     .left_out = std::move(request->left_out)});
    auto task = InferenceTask{.model = std::move(request->model), .body = std::move(request->task_body)};
    co_return co_await answer_task(context, std::move(task), dialect, request->stream);
}

Task<int> count_message_tokens(RouteContext context)
{
    auto request = parse_anthropic_request(context.request.body, AnthropicUse::count);
    if (!request) {
        co_return co_await answer_anthropic_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = AnthropicCountDialect(context.exchange.request_id(), std::move(request->left_out));
    auto task = InferenceTask{
        .model = std::move(request->model), .body = std::move(request->task_body), .kind = TaskKind::tokenize};
    co_return co_await answer_task(context, std::move(task), dialect, false);
}

}  // namespace plexus::api
