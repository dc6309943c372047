#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/chat_answer.h"
#include "api/chat_request.h"
#include "api/task_answer.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

/// OpenAI's chat completions.
class ChatDialect final : public Dialect {
public:
    ChatDialect(std::string model, bool stream, bool include_usage)
        : model_(std::move(model)), stream_(stream), include_usage_(include_usage)
    {
    }

    Result<std::string> chunk(std::string chunk) override
    {
        auto named = with_model_name(std::move(chunk), model_);
        if (!stream_) {
            auto const added = assembler_.add(named);
            return added ? Result<std::string>() : std::unexpected(added.error());
        }
        auto const wanted = chunk_for_client(std::move(named), include_usage_);
        return wanted.empty() ? std::string{} : fmt::format("data: {}\n\n", wanted);
    }

    std::string end() override { return "data: [DONE]\n\n"; }
    std::string failure(Problem const& problem) override
    {
        return fmt::format("data: {}\n\n", openai_error_text(problem));
    }
    Response whole() override { return {200, {{"content-type", "application/json"}}, assembler_.finish()}; }

private:
    std::string model_;
    bool stream_;
    bool include_usage_;
    AnswerAssembler assembler_;
};

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
    for (auto const& model : context.services.models.list()) {
        auto const is_named = model.id == context.argument || model.digest == context.argument ||
                              std::ranges::find(model.aliases, context.argument) != model.aliases.end();
        if (is_named) {
            auto body = json::serialize(to_openai_json(model));
            co_return co_await answer_json(context.exchange, 200, std::move(body));
        }
    }
    co_return co_await answer_openai_problem(context.exchange, unknown_model(context.argument));
}

Task<int> complete_chat(RouteContext context)
{
    auto request = parse_chat_request(context.request.body);
    if (!request) {
        co_return co_await answer_openai_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = ChatDialect(request->model, request->stream, request->include_usage);
    auto task = InferenceTask{.model = std::move(request->model), .body = std::move(request->task_body)};
    co_return co_await answer_task(context, std::move(task), dialect, request->stream);
}

}  // namespace plexus::api
