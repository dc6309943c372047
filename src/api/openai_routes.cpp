#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/chat_answer.h"
#include "api/chat_request.h"
#include "api/routes.h"
#include "api/views.h"
#include "base/log.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

using namespace asio::experimental::awaitable_operators;

/// The problem of an answer that could not begin or go on, in the words OpenAI's clients know.
Problem answer_problem(Error const& error, std::string const& model)
{
    auto problem = problem_from(error);
    if (error.kind == ErrorKind::not_found) {
        problem.code = "model_not_found";
        problem.param = "model";
        problem.text = fmt::format("The model '{}' does not exist{}", model,
                                   error.text.empty() ? "." : ": " + error.text);
    } else if (error.kind == ErrorKind::too_large) {
        problem.code = "context_length_exceeded";
        problem.param = "messages";
    }
    return problem;
}

/// One chat completion on its way to one client.
class Completion {
public:
    Completion(RouteContext& context, ChatRequest request)
        : context_(context), request_(std::move(request)), began_(context.env.now()), changed_(context.env.executor())
    {
    }

    Task<int> run();

private:
    Task<int> answer_whole();
    Task<int> answer_stream();
    Task<int> answer_reading_ahead();
    using NextEvent = std::optional<Result<AnswerEvent>>;  // nothing: it has not come yet
    Task<> read_ahead();
    Task<NextEvent> next(Duration patience);
    Task<NextEvent> first_event();
    Task<Result<void>> begin_stream();
    Task<Result<void>> pass_on(AnswerEvent event);
    Task<int> end_with(Error error);
    void note(AnswerEvent const& event);
    std::vector<Header> headers(std::string_view type) const;
    int outcome(std::string_view word, int status);

    RouteContext& context_;
    ChatRequest request_;
    Time began_;
    std::unique_ptr<Answer> answer_;
    Route route_;
    bool has_chunk_ = false;
    NextEvent ahead_;
    bool reading_ended_ = false;
    Signal changed_;
};

Task<int> Completion::run()
{
    auto task = ChatTask{context_.exchange.request_id(), request_.model, std::move(request_.task_body)};
    auto started = co_await context_.services.answers.start(std::move(task));
    if (!started) {
        co_return co_await end_with(started.error());
    }
    answer_ = std::move(*started);
    if (request_.stream) {
        co_return co_await answer_reading_ahead();
    }
    co_return co_await answer_whole();
}

void Completion::note(AnswerEvent const& event)
{
    if (event.kind == AnswerEvent::Kind::routed) {
        route_ = event.route;
    }
    if (event.kind == AnswerEvent::Kind::chunk) {
        context_.metrics.count_chunk();
        if (!std::exchange(has_chunk_, true)) {
            context_.metrics.observe_first_chunk(context_.env.now() - began_);
        }
    }
}

std::vector<Header> Completion::headers(std::string_view type) const
{
    auto made = std::vector<Header>{{"content-type", std::string(type)}};
    if (!route_.device.empty()) {
        made.push_back({"plexus-route", route_.device});
        made.push_back({"plexus-model-digest", route_.model_digest});
    }
    return made;
}

int Completion::outcome(std::string_view word, int status)
{
    context_.metrics.count_task(word);
    return status;
}

Task<int> Completion::answer_whole()
{
    auto assembler = AnswerAssembler();
    for (;;) {
        auto event = co_await answer_->next();
        if (!event) {
            co_return co_await end_with(event.error());
        }
        note(*event);
        if (event->kind == AnswerEvent::Kind::finished) {
            break;
        }
        if (event->kind != AnswerEvent::Kind::chunk) {
            continue;
        }
        if (auto const added = assembler.add(with_model_name(std::move(event->text), request_.model)); !added) {
            co_return co_await end_with(Error{ErrorKind::refused, added.error().text});
        }
    }
    auto response = Response{200, headers("application/json"), assembler.finish()};
    std::ignore = co_await context_.exchange.respond(with_common_headers(std::move(response)));
    co_return outcome("done", 200);
}

/// Takes one event more than was written. Who waits for it may give up the waiting: the event is not lost, and the task,
/// which may be half way to another device, is not disturbed. Never returns.
Task<> Completion::read_ahead()
{
    struct AtEnd {
        Completion& completion;
        ~AtEnd()
        {
            completion.reading_ended_ = true;
            completion.changed_.notify();
        }
    } const at_end{*this};
    for (auto is_over = false;;) {
        while (ahead_ || is_over) {
            co_await changed_.wait();
        }
        ahead_ = co_await answer_->next();
        is_over = !*ahead_ || (*ahead_)->kind == AnswerEvent::Kind::finished;
        changed_.notify();
    }
}

Task<Completion::NextEvent> Completion::next(Duration patience)
{
    auto const until = context_.env.now() + patience;
    auto const alarm = Alarm(context_.env, until, [this] { changed_.notify(); });
    while (!ahead_ && !reading_ended_ && context_.env.now() < until) {
        co_await changed_.wait();
    }
    if (!ahead_ && reading_ended_) {
        co_return fail(ErrorKind::closed, "the answer was broken off");
    }
    changed_.notify();
    co_return std::exchange(ahead_, std::nullopt);
}

/// The event that decides how the response begins; nothing means: begin without one.
Task<Completion::NextEvent> Completion::first_event()
{
    auto const until = context_.env.deadline_in(context_.options.head_patience);
    for (;;) {
        auto event = co_await next(until.remaining(context_.env.now()));
        auto const decides = !event || !*event || (*event)->kind == AnswerEvent::Kind::chunk ||
                             (*event)->kind == AnswerEvent::Kind::finished;
        if (decides) {
            co_return event;
        }
        note(**event);
    }
}

Task<Result<void>> Completion::begin_stream()
{
    auto head = Response{200, headers("text/event-stream; charset=utf-8"), ""};
    head.headers.push_back({"x-accel-buffering", "no"});
    return context_.exchange.start(with_common_headers(std::move(head)));
}

Task<Result<void>> Completion::pass_on(AnswerEvent event)
{
    note(event);
    auto piece = std::string{};
    if (event.kind == AnswerEvent::Kind::chunk) {
        auto chunk = chunk_for_client(with_model_name(std::move(event.text), request_.model), request_.include_usage);
        piece = chunk.empty() ? std::string{} : fmt::format("data: {}\n\n", chunk);
    } else if (event.kind == AnswerEvent::Kind::routed) {
        piece = fmt::format(": plexus-route {}\n\n", event.route.device);
    } else if (event.kind == AnswerEvent::Kind::waiting) {
        piece = fmt::format(": {}\n\n", event.text);
    }
    co_return co_await context_.exchange.write(piece);
}

Task<int> Completion::answer_stream()
{
    auto event = co_await first_event();
    if (event && !*event) {
        co_return co_await end_with(event->error());
    }
    auto sent = co_await begin_stream();
    while (sent) {
        if (!event) {
            sent = co_await context_.exchange.write(": keep-alive\n\n");
        } else if (!*event) {
            co_return co_await end_with(event->error());
        } else if ((*event)->kind == AnswerEvent::Kind::finished) {
            break;
        } else {
            sent = co_await pass_on(std::move(**event));
        }
        if (sent) {
            event = co_await next(context_.options.keep_alive);
        }
    }
    if (!sent) {
        co_return outcome("client_gone", 200);
    }
    sent = co_await context_.exchange.write("data: [DONE]\n\n");
    if (sent) {
        std::ignore = co_await context_.exchange.finish();
    }
    co_return outcome("done", 200);
}

Task<int> Completion::answer_reading_ahead()
{
    auto failure = std::exception_ptr{};
    auto const stream = [this](std::exception_ptr& thrown) -> Task<int> {
        try {
            co_return co_await answer_stream();
        } catch (...) {
            thrown = std::current_exception();  // of two, one that throws would not end the other
        }
        co_return 0;
    };
    auto const ended = co_await (stream(failure) || read_ahead());
    if (failure) {
        std::rethrow_exception(failure);
    }
    co_return std::get<0>(ended);
}

Task<int> Completion::end_with(Error error)
{
    auto const problem = answer_problem(error, request_.model);
    outcome("failed", 0);
    log::debug("a task failed", {{"request", context_.exchange.request_id()}, {"kind", to_string(error.kind)}});
    if (!context_.exchange.has_begun()) {
        auto response = openai_error(problem);
        for (auto& header : headers("")) {
            if (header.name != "content-type") {
                response.headers.push_back(std::move(header));
            }
        }
        std::ignore = co_await context_.exchange.respond(with_common_headers(std::move(response)));
        co_return problem.status;
    }
    auto const piece = fmt::format("data: {}\n\n", openai_error_text(problem));
    if (co_await context_.exchange.write(piece)) {
        std::ignore = co_await context_.exchange.finish();
    }
    co_return 200;
}

Problem unknown_model(std::string const& name)
{
    return answer_problem(Error{ErrorKind::not_found, ""}, name);
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
    auto completion = Completion(context, std::move(*request));
    co_return co_await completion.run();
}

}  // namespace plexus::api
