#include "api/document_dialect.h"
#include "api/rerank_request.h"
#include "api/task_answer.h"

namespace plexus::api {

namespace {

class RerankDialect final : public DocumentDialect {
public:
    RerankDialect(RerankRequest const& request, std::string id) : request_(request), id_(std::move(id)) {}

    Response whole() override
    {
        auto answer = rerank_answer(request_, id_, take_document());
        if (!answer) {
            return openai_error(problem_from({ErrorKind::refused, answer.error().text}));
        }
        return {200, {{"content-type", "application/json"}}, std::move(*answer)};
    }

private:
    RerankRequest const& request_;
    std::string id_;
};

}  // namespace

Task<int> rerank(RouteContext context)
{
    auto request = parse_rerank_request(context.request.body);
    if (!request) {
        co_return co_await answer_openai_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = RerankDialect(*request, context.exchange.request_id());
    auto task = InferenceTask{.model = request->model, .body = std::move(request->task_body), .kind = TaskKind::rerank};
    co_return co_await answer_task(context, std::move(task), dialect, false);
}

}  // namespace plexus::api
