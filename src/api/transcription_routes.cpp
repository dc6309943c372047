#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/document_dialect.h"
#include "api/task_answer.h"
#include "api/transcription_request.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

/// OpenAI's transcriptions. The words come all at once, also in a stream.
class TranscriptionDialect final : public DocumentDialect {
public:
    explicit TranscriptionDialect(bool as_text) : as_text_(as_text) {}

    std::string end() override
    {
        auto const answer = words();
        if (!answer) {
            return failure(problem_from(answer.error()));
        }
        auto const delta = json::object{{"type", "transcript.text.delta"}, {"delta", answer->at("text")}};
        auto done = *answer;
        done["type"] = "transcript.text.done";
        return fmt::format("data: {}\n\ndata: {}\n\n", json::serialize(delta), json::serialize(done));
    }

    std::string failure(Problem const& problem) override
    {
        return fmt::format("data: {}\n\n", openai_error_text(problem));
    }

    Response whole() override
    {
        auto const answer = words();
        if (!answer) {
            return openai_error(problem_from(answer.error()));
        }
        if (as_text_) {
            auto text = std::string(answer->at("text").as_string());
            return {200, {{"content-type", "text/plain; charset=utf-8"}}, std::move(text) + "\n"};
        }
        return {200, {{"content-type", "application/json"}}, json::serialize(*answer)};
    }

private:
    /// `text`, and `usage` if the engine told it.
    Result<json::object> words()
    {
        auto code = boost::system::error_code{};
        auto const document = json::parse(take_document(), code);
        auto const* fields = !code && document.is_object() ? &document.get_object() : nullptr;
        auto const* text = fields == nullptr ? nullptr : find(*fields, "text");
        if (text == nullptr || !text->is_string()) {
            return fail(ErrorKind::refused, "the engine sent no transcription");
        }
        auto answer = json::object{{"text", *text}};
        if (auto const* usage = find(*fields, "usage")) {
            answer["usage"] = *usage;
        }
        return answer;
    }

    bool as_text_;
};

}  // namespace

Task<int> transcribe(RouteContext context)
{
    auto const type = context.request.header("content-type").value_or("");
    auto request = parse_transcription_request(type, context.request.body);
    if (!request) {
        co_return co_await answer_openai_problem(context.exchange, std::move(request.error()));
    }
    auto dialect = TranscriptionDialect(request->as_text);
    auto task = InferenceTask{
        .model = std::move(request->model), .body = std::move(request->task_body), .kind = TaskKind::transcription};
    co_return co_await answer_task(context, std::move(task), dialect, request->stream);
}

}  // namespace plexus::api
