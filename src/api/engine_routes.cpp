#include <boost/json/serialize.hpp>

#include "api/control_body.h"
#include "api/routes.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

/// The flag of a body such as {"pinned":false}; true if the body has none.
Task<int> load_model(RouteContext context, std::string name)
{
    auto const engine = co_await context.services.models.load(std::move(name));
    if (!engine) {
        co_return co_await answer_problem(context.exchange, problem_from(engine.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(*engine)));
}

Task<int> unload_model(RouteContext context, std::string name)
{
    auto const engine = context.services.models.unload(std::move(name));
    if (!engine) {
        co_return co_await answer_problem(context.exchange, problem_from(engine.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(*engine)));
}

/// A model that is pinned is loaded, too.
Task<int> pin_model(RouteContext context, std::string name)
{
    auto const body = body_of(context.request);
    auto const wanted = body ? flag_field(*body, "pinned") : std::unexpected(body.error());
    if (!wanted) {
        co_return co_await answer_problem(context.exchange, wanted.error());
    }
    auto const pinned = wanted->value_or(true);
    if (auto const done = context.services.models.pin(name, pinned); !done) {
        co_return co_await answer_problem(context.exchange, problem_from(done.error()));
    }
    if (pinned) {
        co_return co_await load_model(context, std::move(name));
    }
    co_return co_await answer_json(context.exchange, 200, R"({"pinned":false})");
}

/// The name in a body such as {"draft":"tiny"}; empty of {"draft":null}.
std::expected<std::string, Problem> draft_in(Request const& request)
{
    auto const body = body_of(request);
    if (!body) {
        return std::unexpected(body.error());
    }
    auto const* draft = body->if_contains("draft");
    if (draft == nullptr || (!draft->is_null() && (!draft->is_string() || draft->get_string().empty()))) {
        return std::unexpected(
            invalid_request("draft", "'draft' must be the name of a model, or null.", "invalid_type"));
    }
    return draft->is_null() ? std::string{} : std::string(draft->get_string());
}

/// A model that gets a draft model is loaded with it.
Task<int> set_draft(RouteContext context, std::string name)
{
    auto const draft = draft_in(context.request);
    if (!draft) {
        co_return co_await answer_problem(context.exchange, draft.error());
    }
    auto const done = co_await context.services.models.set_draft(name, *draft);
    if (!done) {
        co_return co_await answer_problem(context.exchange, problem_from(done.error()));
    }
    if (!draft->empty()) {
        co_return co_await load_model(context, std::move(name));
    }
    co_return co_await answer_json(context.exchange, 200, R"({"draft":null})");
}

}  // namespace

Task<int> list_engines(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(context.services.models.engines())));
}

Task<int> change_engine(RouteContext context)
{
    auto const slash = context.argument.rfind('/');
    auto const action = slash == std::string::npos ? std::string{} : context.argument.substr(slash + 1);
    auto name = context.argument.substr(0, std::min(slash, context.argument.size()));
    if (action == "load") {
        co_return co_await load_model(std::move(context), std::move(name));
    }
    if (action == "unload") {
        co_return co_await unload_model(std::move(context), std::move(name));
    }
    if (action == "pin") {
        co_return co_await pin_model(std::move(context), std::move(name));
    }
    if (action == "draft") {
        co_return co_await set_draft(std::move(context), std::move(name));
    }
    auto problem = problem_from(Error{ErrorKind::not_found, "There is nothing at this path."});
    problem.next = "POST /api/v1/models/NAME/load, /unload, /pin or /draft";
    co_return co_await answer_problem(context.exchange, std::move(problem));
}

}  // namespace plexus::api
