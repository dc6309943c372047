#include "api/task_document.h"

#include "api/chat_answer.h"
#include "api/json_fields.h"

namespace plexus::api {

Task<Result<boost::json::object>> run_document_task(RouteContext& context, InferenceTask task)
{
    task.request_id = context.exchange.request_id();
    auto answer = co_await context.services.answers.start(std::move(task));
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto text = std::string{};
    for (;;) {
        auto event = co_await (*answer)->next();
        if (!event) {
            co_return std::unexpected(event.error());
        }
        if (event->kind == AnswerEvent::Kind::finished) {
            break;
        }
        if (event->kind == AnswerEvent::Kind::chunk) {
            text += event->text;
        }
        if (text.size() > max_answer_bytes) {
            co_return fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_answer_bytes);
        }
    }
    auto document = parse_object(text);
    if (!document) {
        co_return fail(ErrorKind::refused, "the engine sent something that is not a JSON object");
    }
    co_return std::move(*document);
}

}  // namespace plexus::api
