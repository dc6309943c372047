#include "api/task_answer.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "base/log.h"

namespace plexus::api {

namespace {

using namespace asio::experimental::awaitable_operators;

/// One answer, of one task or several, on its way to one client.
class TaskAnswer {
public:
    TaskAnswer(RouteContext& context, std::vector<InferenceTask> tasks, Dialect& dialect)
        : context_(context), tasks_(std::move(tasks)), dialect_(dialect), model_(tasks_.front().model),
          began_(context.env.now()), changed_(context.env.executor())
    {
    }

    Task<int> answer_whole();
    Task<int> answer_reading_ahead();

private:
    Task<int> answer_stream();
    Task<Result<AnswerEvent>> step();
    bool ends_all(AnswerEvent const& event);
    using NextEvent = std::optional<Result<AnswerEvent>>;  // nothing: it has not come yet
    Task<> read_ahead();
    Task<NextEvent> next(Duration patience);
    Task<NextEvent> first_event();
    Task<Result<void>> begin_stream();
    Result<std::string> piece_of(AnswerEvent event);
    Task<int> end_with(Error error);
    void note(AnswerEvent const& event);
    Response with_route(Response response) const;
    int outcome(std::string_view word, int status);

    RouteContext& context_;
    std::vector<InferenceTask> tasks_;
    std::size_t started_ = 0;
    std::size_t ended_ = 0;  // of which the end was taken from step()
    Dialect& dialect_;
    std::string model_;
    Time began_;
    std::unique_ptr<Answer> answer_;
    Route route_;
    bool has_chunk_ = false;
    NextEvent ahead_;
    bool reading_ended_ = false;
    Signal changed_;
};

/// The next event of the tasks.
Task<Result<AnswerEvent>> TaskAnswer::step()
{
    if (!answer_) {
        auto& task = tasks_[started_++];
        task.request_id = context_.exchange.request_id();
        auto started = co_await context_.services.answers.start(std::move(task));
        if (!started) {
            co_return std::unexpected(started.error());
        }
        answer_ = std::move(*started);
    }
    auto event = co_await answer_->next();
    if (event && event->kind == AnswerEvent::Kind::finished) {
        answer_.reset();
    }
    co_return event;
}

bool TaskAnswer::ends_all(AnswerEvent const& event)
{
    return event.kind == AnswerEvent::Kind::finished && ++ended_ == tasks_.size();
}

void TaskAnswer::note(AnswerEvent const& event)
{
    if (event.kind == AnswerEvent::Kind::routed) {
        if (has_chunk_) {
            context_.metrics.count_move();
        }
        route_ = event.route;
        dialect_.set_route(route_);
    }
    if (event.kind == AnswerEvent::Kind::chunk) {
        context_.metrics.count_chunk();
        if (!std::exchange(has_chunk_, true)) {
            context_.metrics.observe_first_chunk(context_.env.now() - began_);
        }
    }
}

Response TaskAnswer::with_route(Response response) const
{
    if (!route_.device.empty()) {
        response.headers.push_back({"plexus-route", route_.device});
        response.headers.push_back({"plexus-model-digest", route_.model_digest});
    }
    std::ranges::move(dialect_.headers(), std::back_inserter(response.headers));
    return response;
}

int TaskAnswer::outcome(std::string_view word, int status)
{
    context_.metrics.count_task(word);
    return status;
}

Task<int> TaskAnswer::answer_whole()
{
    for (auto is_over = false; !is_over;) {
        auto event = co_await step();
        if (!event) {
            co_return co_await end_with(event.error());
        }
        is_over = ends_all(*event);
        auto const taken = is_over ? Result<std::string>() : piece_of(std::move(*event));
        if (!taken) {
            co_return co_await end_with(Error{ErrorKind::refused, taken.error().text});
        }
    }
    auto response = with_route(dialect_.whole());
    auto const status = response.status;
    std::ignore = co_await context_.exchange.respond(with_common_headers(std::move(response)));
    co_return outcome("done", status);
}

/// Takes one event more than was written. Who waits for it may give up the waiting: the event is not lost, and the task,
/// which may be half way to another device, is not disturbed. Never returns.
Task<> TaskAnswer::read_ahead()
{
    struct AtEnd {
        TaskAnswer& answer;
        ~AtEnd()
        {
            answer.reading_ended_ = true;
            answer.changed_.notify();
        }
    } const at_end{*this};
    for (auto is_over = false;;) {
        while (ahead_ || is_over) {
            co_await changed_.wait();
        }
        ahead_ = co_await step();
        is_over = !*ahead_ || (started_ == tasks_.size() && !answer_);
        changed_.notify();
    }
}

Task<TaskAnswer::NextEvent> TaskAnswer::next(Duration patience)
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
Task<TaskAnswer::NextEvent> TaskAnswer::first_event()
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

Task<Result<void>> TaskAnswer::begin_stream()
{
    auto head = with_route({200, {{"content-type", std::string(dialect_.stream_type())}}, ""});
    head.headers.push_back({"x-accel-buffering", "no"});
    auto started = co_await context_.exchange.start(with_common_headers(std::move(head)));
    if (auto const piece = dialect_.begin(); started && !piece.empty()) {
        started = co_await context_.exchange.write(piece);
    }
    co_return started;
}

/// What the dialect makes of an event that does not end the answer. Nothing is left to be sent if it cannot write the chunk:
/// the answer ends with that error.
Result<std::string> TaskAnswer::piece_of(AnswerEvent event)
{
    note(event);
    switch (event.kind) {
    case AnswerEvent::Kind::chunk: return dialect_.chunk(std::move(event.text));
    case AnswerEvent::Kind::routed: return dialect_.routed(event.route);
    case AnswerEvent::Kind::waiting: return dialect_.waiting(event.text);
    case AnswerEvent::Kind::finished: break;
    }
    return dialect_.next_task();
}

Task<int> TaskAnswer::answer_stream()
{
    auto event = co_await first_event();
    if (event && !*event) {
        co_return co_await end_with(event->error());
    }
    auto sent = co_await begin_stream();
    for (auto is_over = false; sent && !is_over;) {
        auto piece = Result<std::string>(dialect_.keep_alive());
        if (event) {
            if (!*event) {
                co_return co_await end_with(event->error());
            }
            is_over = ends_all(**event);
            piece = is_over ? dialect_.end() : piece_of(std::move(**event));
        }
        if (!piece) {
            co_return co_await end_with(Error{ErrorKind::refused, piece.error().text});
        }
        if (!piece->empty()) {
            sent = co_await context_.exchange.write(*piece);
        }
        if (sent && !is_over) {
            event = co_await next(context_.options.keep_alive);
        }
    }
    if (!sent) {
        co_return outcome("client_gone", 200);
    }
    std::ignore = co_await context_.exchange.finish();
    co_return outcome("done", 200);
}

Task<int> TaskAnswer::answer_reading_ahead()
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

Task<int> TaskAnswer::end_with(Error error)
{
    auto const problem = task_problem(error, model_);
    outcome("failed", 0);
    log::debug("a task failed", {{"request", context_.exchange.request_id()}, {"kind", to_string(error.kind)}});
    if (!context_.exchange.has_begun()) {
        std::ignore = co_await context_.exchange.respond(with_common_headers(with_route(dialect_.refusal(problem))));
        co_return problem.status;
    }
    if (co_await context_.exchange.write(dialect_.failure(problem))) {
        std::ignore = co_await context_.exchange.finish();
    }
    co_return 200;
}

}  // namespace

Problem task_problem(Error const& error, std::string const& model)
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

Task<int> answer_task(RouteContext& context, InferenceTask task, Dialect& dialect, bool stream)
{
    auto tasks = std::vector<InferenceTask>{};
    tasks.push_back(std::move(task));
    co_return co_await answer_tasks(context, std::move(tasks), dialect, stream);
}

Task<int> answer_tasks(RouteContext& context, std::vector<InferenceTask> tasks, Dialect& dialect, bool stream)
{
    auto answer = TaskAnswer(context, std::move(tasks), dialect);
    if (stream) {
        co_return co_await answer.answer_reading_ahead();
    }
    co_return co_await answer.answer_whole();
}

}  // namespace plexus::api
