#include "api/completion_answer.h"
#include "api/completion_request.h"
#include "api/task_answer.h"

namespace plexus::api {

namespace {

/// OpenAI's legacy completions.
class CompletionDialect final : public Dialect {
public:
    CompletionDialect(CompletionHead head, CompletionRequest const& request)
        : include_usage_(request.include_usage), answer_(std::move(head), request.echoes, request.choices_of_prompt)
    {
    }

    Result<std::string> chunk(std::string chunk) override { return transform(answer_.add(chunk), as_event); }

    Result<std::string> next_task() override
    {
        answer_.next_choice();
        return std::string{};
    }

    std::string end() override
    {
        return (include_usage_ ? as_event(answer_.usage()) : std::string{}) + as_event("[DONE]");
    }

    std::string failure(Problem const& problem) override { return as_event(openai_error_text(problem)); }
    Response whole() override { return {200, {{"content-type", "application/json"}}, answer_.finish()}; }

private:
    static std::string as_event(std::string const& data)
    {
        return data.empty() ? std::string{} : fmt::format("data: {}\n\n", data);
    }

    bool include_usage_;
    CompletionAnswer answer_;
};

}  // namespace

Task<int> complete_text(RouteContext context)
{
    auto request = parse_completion_request(context.request.body);
    if (!request) {
        co_return co_await answer_openai_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = CompletionDialect({.id = "cmpl-" + context.exchange.request_id(),
                                      .created_seconds = unix_seconds(context.env),
                                      .model = request->model},
                                     *request);
    co_return co_await answer_tasks(context, std::move(request->tasks), dialect, request->stream);
}

}  // namespace plexus::api
