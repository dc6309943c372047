#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/control_body.h"
#include "api/routes.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

Task<int> answer_engine(Exchange& exchange, Result<ExternalEngineView> engine)
{
    if (!engine) {
        co_return co_await answer_problem(exchange, problem_from(engine.error()));
    }
    co_return co_await answer_json(exchange, 200, json::serialize(to_json(*engine)));
}

}  // namespace

Task<int> list_external_engines(RouteContext context)
{
    auto const document = list_json("engines", context.services.models.external_engines());
    co_return co_await answer_json(context.exchange, 200, json::serialize(document));
}

Task<int> add_external_engine(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto url = text_field(*body, "url");
    auto token_file = text_field(*body, "token_file");
    if (!url || !token_file) {
        co_return co_await answer_problem(context.exchange, url ? token_file.error() : url.error());
    }
    if (url->empty()) {
        auto problem = invalid_request("url", "'url' must be the address of an OpenAI-compatible server.");
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    if (!token_file->empty() && token_file->front() != '/') {
        auto problem = invalid_request("token_file", "'token_file' must be the absolute path of a file.");
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto order = ExternalEngineOrder{.url = std::move(*url), .token_file = std::move(*token_file)};
    auto engine = co_await context.services.models.add_external_engine(std::move(order));
    co_return co_await answer_engine(context.exchange, std::move(engine));
}

Task<int> test_external_engine(RouteContext context)
{
    constexpr auto action = std::string_view("/test");
    auto url = context.argument;
    if (!url.ends_with(action)) {
        auto problem = problem_from(Error{ErrorKind::not_found, "There is nothing at this path."});
        problem.next = "POST /api/v1/external-engines/URL/test";
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    url.resize(url.size() - action.size());
    auto engine = co_await context.services.models.test_external_engine(std::move(url));
    co_return co_await answer_engine(context.exchange, std::move(engine));
}

Task<int> remove_external_engine(RouteContext context)
{
    auto engine = context.services.models.remove_external_engine(context.argument);
    co_return co_await answer_engine(context.exchange, std::move(engine));
}

}  // namespace plexus::api
