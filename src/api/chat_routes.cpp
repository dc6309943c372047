#include "api/chat_answer.h"
#include "api/chat_request.h"
#include "api/task_answer.h"

namespace plexus::api {

namespace {

/// OpenAI's chat completions.
class ChatDialect final : public Dialect {
public:
    explicit ChatDialect(ChatRequest const& request)
        : model_(request.model), stream_(request.stream), writer_(!request.other_bodies.empty(), request.include_usage)
    {
    }

    Result<std::string> chunk(std::string chunk) override
    {
        auto named = with_model_name(std::move(chunk), model_);
        if (!stream_) {
            auto const added = assembler_.add(named);
            return added ? Result<std::string>() : std::unexpected(added.error());
        }
        return transform(writer_.write(std::move(named)), as_event);
    }

    Result<std::string> next_task() override
    {
        writer_.next_choice();
        assembler_.next_choice();
        return std::string{};
    }

    std::string end() override { return as_event(writer_.last()) + "data: [DONE]\n\n"; }
    std::string failure(Problem const& problem) override { return as_event(openai_error_text(problem)); }
    Response whole() override { return {200, {{"content-type", "application/json"}}, assembler_.finish()}; }

private:
    static std::string as_event(std::string const& data)
    {
        return data.empty() ? std::string{} : fmt::format("data: {}\n\n", data);
    }

    std::string model_;
    bool stream_;
    ChunkWriter writer_;
    AnswerAssembler assembler_;
};

}  // namespace

Task<int> complete_chat(RouteContext context)
{
    auto request = parse_chat_request(context.request.body);
    if (!request) {
        co_return co_await answer_openai_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = ChatDialect(*request);
    auto tasks = std::vector<InferenceTask>{};
    tasks.push_back({.model = request->model, .body = std::move(request->task_body)});
    for (auto& body : request->other_bodies) {
        tasks.push_back({.model = request->model, .body = std::move(body)});
    }
    co_return co_await answer_tasks(context, std::move(tasks), dialect, request->stream);
}

}  // namespace plexus::api
