#include "api/control_body.h"
#include "api/progress_lines.h"
#include "api/routes.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

std::expected<CopyOrder, Problem> order_of(Request const& request)
{
    auto const body = body_of(request);
    if (!body) {
        return std::unexpected(body.error());
    }
    auto order = CopyOrder{};
    for (auto const& [name, target] :
         {std::pair("model", &order.model), {"from", &order.from}, {"name", &order.name}}) {
        auto text = text_field(*body, name);
        if (!text) {
            return std::unexpected(text.error());
        }
        *target = std::move(*text);
    }
    if (order.model.empty()) {
        return std::unexpected(invalid_request("model", "'model' is missing.", "missing_field"));
    }
    return order;
}

}  // namespace

Task<int> copy_model(RouteContext context)
{
    auto const order = order_of(context.request);
    if (!order) {
        co_return co_await answer_problem(context.exchange, order.error());
    }
    auto work = [&](ProgressReport report) -> Task<Result<json::object>> {
        auto const model = co_await context.services.models.copy(*order, std::move(report));
        co_return transform(model, [](ModelView const& view) { return json::object{{"model", to_json(view)}}; });
    };
    co_return co_await answer_with_progress(context, std::move(work));
}

}  // namespace plexus::api
