#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/model_names.h"
#include "api/task_answer.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

Problem unknown_model(std::string const& name)
{
    return task_problem(Error{ErrorKind::not_found, ""}, name);
}

}  // namespace

Task<int> list_openai_models(RouteContext context)
{
    auto data = json::array{};
    for (auto const& model : context.services.models.list()) {
        data.emplace_back(to_openai_json(model));
    }
    auto body = json::serialize(json::object{{"object", "list"}, {"data", std::move(data)}});
    co_return co_await answer_json(context.exchange, 200, std::move(body));
}

Task<int> show_openai_model(RouteContext context)
{
    if (auto const model = find_model(context.services.models.list(), context.argument)) {
        co_return co_await answer_json(context.exchange, 200, json::serialize(to_openai_json(*model)));
    }
    co_return co_await answer_openai_problem(context.exchange, unknown_model(context.argument));
}

}  // namespace plexus::api
