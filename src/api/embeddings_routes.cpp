#include "api/document_dialect.h"
#include "api/embeddings_answer.h"
#include "api/embeddings_request.h"
#include "api/task_answer.h"

namespace plexus::api {

namespace {

/// OpenAI's embeddings, which are never streamed.
class EmbeddingsDialect final : public DocumentDialect {
public:
    explicit EmbeddingsDialect(EmbeddingsRequest const& request)
        : model_(request.model), as_base64_(request.as_base64), dimensions_(request.dimensions)
    {
    }

    Result<std::string> next_task() override
    {
        auto const added = answer_.add(take_document());
        return added ? Result<std::string>() : std::unexpected(added.error());
    }

    Response whole() override
    {
        if (auto const ended = answer_.add(take_document()); !ended) {
            return openai_error(problem_from({ErrorKind::refused, ended.error().text}));
        }
        if (auto const cut = dimensions_ ? answer_.shorten(*dimensions_) : Result<void>(); !cut) {
            return openai_error(invalid_request("dimensions", cut.error().text));
        }
        return {200, {{"content-type", "application/json"}}, answer_.finish(model_, as_base64_)};
    }

private:
    std::string model_;
    bool as_base64_;
    std::optional<std::size_t> dimensions_;
    EmbeddingsAnswer answer_;
};

}  // namespace

Task<int> embed(RouteContext context)
{
    auto request = parse_embeddings_request(context.request.body);
    if (!request) {
        co_return co_await answer_openai_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = EmbeddingsDialect(*request);
    co_return co_await answer_tasks(context, std::move(request->tasks), dialect, false);
}

}  // namespace plexus::api
