#include "scheduling/executor.h"

#include "base/log.h"
#include "stream/messages.h"

namespace plexus::scheduling {

namespace {

using host::Stream;

// Shorter answers tell little about the speed.
constexpr std::uint64_t fewest_prompt_tokens = 32;
constexpr std::uint64_t fewest_completion_tokens = 8;
constexpr std::size_t chunk_overhead = 64;  // what a chunk costs beside its bytes

std::size_t size_of(Chunk const& chunk)
{
    return chunk.json.size() + chunk.tokens.size() * sizeof(std::uint32_t) + chunk_overhead;
}

}  // namespace

struct Executor::Job {
    Job(Env& env, std::optional<PeerId> from, Start asked, bool runs_external)
        : requester(std::move(from)), start(std::move(asked)), is_external(runs_external),
          body_bytes(start.body.size()), changed(env.executor()), tasks(env.executor())
    {
    }

    enum class State { queued, running, over };

    void push(Reply reply)
    {
        if (auto const* chunk = std::get_if<Chunk>(&reply)) {
            waiting_bytes += size_of(*chunk);
        }
        replies.push_back(std::move(reply));
        changed.notify();
    }

    void enter(Progress::Stage now)
    {
        stage = now;
        changed.notify();
    }

    std::optional<PeerId> requester;
    Start start;
    bool is_external;
    std::size_t body_bytes;
    State state = State::queued;
    Progress::Stage stage = Progress::Stage::queued;
    Progress::Stage told_stage = Progress::Stage::queued;
    std::deque<Reply> replies;
    std::size_t waiting_bytes = 0;
    bool abandoned = false;  // nobody takes the replies
    std::optional<Alarm> deadline;
    Signal changed;
    TaskScope tasks;
};

Executor::Executor(Env& env, Runner& runner, catalog::Catalog& catalog, Limits limits)
    : env_(env), runner_(runner), catalog_(catalog), limits_(limits), reaped_(env.executor()), tasks_(env.executor())
{
}

Executor::~Executor() = default;

Result<void> Executor::check_room(std::optional<PeerId> const& requester, std::size_t body_bytes,
                                  bool is_external) const
{
    if (stopping_) {
        return fail(ErrorKind::closed, "the device is stopping");
    }
    if (paused_ && requester) {
        return fail(ErrorKind::unavailable, "the device is paused by its owner");
    }
    auto const is_theirs = [&](JobHandle const& job) { return job->requester == requester; };
    auto const theirs = static_cast<std::size_t>(std::ranges::count_if(jobs_, is_theirs));
    auto const alike = static_cast<std::size_t>(std::ranges::count(jobs_, is_external, &Job::is_external));
    auto const most = is_external ? limits_.external : limits_.running + limits_.queued;
    if (alike >= most || (requester && theirs >= limits_.per_member) ||
        body_bytes > limits_.body_bytes - std::min(body_bytes_, limits_.body_bytes)) {
        return fail(ErrorKind::unavailable, "the device has {} tasks already", jobs_.size());
    }
    return {};
}

Result<std::unique_ptr<Execution>> Executor::admit(std::optional<PeerId> requester, Start start)
{
    auto const is_external = runner_.is_external(start.model);
    if (auto const room = check_room(requester, start.body.size(), is_external); !room) {
        return std::unexpected(room.error());
    }
    auto const limit = start.limit;
    auto const job = std::make_shared<Job>(env_, std::move(requester), std::move(start), is_external);
    if (limit > Duration::zero()) {
        job->deadline.emplace(env_, env_.now() + limit, [this, weak = std::weak_ptr(job)] {
            if (auto const held = weak.lock()) {
                end(held, Error{ErrorKind::timed_out, "the deadline of the task passed"});
            }
        });
    }
    body_bytes_ += job->body_bytes;
    jobs_.push_back(job);
    if (is_external) {
        run(job);
    } else {
        queue_.push_back(job);
        start_next();
    }
    load_changed();
    return std::make_unique<Execution>(*this, job);
}

void Executor::start_next()
{
    while (running_ - running_external_ < limits_.running && !queue_.empty()) {
        auto const job = queue_.front();
        queue_.pop_front();
        run(job);
    }
}

void Executor::run(JobHandle const& job)
{
    ++running_;
    running_external_ += job->is_external ? 1 : 0;
    job->state = Job::State::running;
    job->stage = job->told_stage = Progress::Stage::computing;
    job->tasks.spawn("compute a task", compute(job));
}

/// The task no longer waits or computes; its replies may still be taken.
void Executor::release(JobHandle const& job)
{
    auto const before = std::exchange(job->state, Job::State::over);
    if (before == Job::State::over) {
        return;
    }
    job->deadline.reset();
    job->start.body = {};
    body_bytes_ -= job->body_bytes;
    if (before == Job::State::running) {
        --running_;
        running_external_ -= job->is_external ? 1 : 0;
    } else {
        std::erase(queue_, job);
    }
    if (!stopping_) {
        start_next();
    }
    load_changed();
}

void Executor::end(JobHandle const& job, std::optional<Error> error)
{
    if (error && job->state != Job::State::over) {
        job->push(Failed{std::move(*error)});
    }
    release(job);
    job->tasks.cancel();
}

void Executor::load_changed()
{
    catalog_.set_load(static_cast<std::uint32_t>(running_), static_cast<std::uint32_t>(queue_.size()));
}

Task<> Executor::compute(JobHandle job)
{
    auto outcome = co_await generate(job);
    if (outcome) {
        observe(job->start.model, *outcome);
        job->push(Done{*outcome});
    } else {
        job->push(Failed{std::move(outcome.error())});
    }
    release(job);
}

Task<Result<Timings>> Executor::generate(JobHandle job)
{
    auto body = std::exchange(job->start.body, {});
    auto loading = [weak = std::weak_ptr(job)] {
        if (auto const held = weak.lock()) {
            held->enter(Progress::Stage::loading);
        }
    };
    auto generation = co_await runner_.start(job->start.model, job->start.kind, std::move(body), std::move(loading));
    if (!generation) {
        co_return std::unexpected(std::move(generation.error()));
    }
    job->enter(Progress::Stage::computing);
    for (std::uint64_t sequence = 0;; ++sequence) {
        auto chunk = co_await (*generation)->next();
        if (!chunk) {
            co_return std::unexpected(std::move(chunk.error()));
        }
        if (!*chunk) {
            co_return (*generation)->timings();
        }
        auto& part = **chunk;
        if (part.text.size() > max_chunk_bytes) {
            co_return fail(ErrorKind::closed, "the engine gave a part of {} bytes", part.text.size());
        }
        auto const room = co_await wait_for_room(job);
        if (!room) {
            co_return std::unexpected(room.error());
        }
        job->push(Chunk{sequence, std::move(part.text), std::move(part.tokens)});
    }
}

Task<Result<void>> Executor::wait_for_room(JobHandle job)
{
    if (job->waiting_bytes < max_waiting_bytes) {
        co_return Result<void>{};
    }
    auto const limit = env_.now() + stall_limit;
    auto const alarm = Alarm(env_, limit, [&job] { job->changed.notify(); });
    while (job->waiting_bytes >= max_waiting_bytes) {
        if (env_.now() >= limit) {
            co_return fail(ErrorKind::closed, "the answer was not read");
        }
        co_await job->changed.wait();
    }
    co_return Result<void>{};
}

void Executor::observe(ModelDigest const& model, Timings const& timings)
{
    auto const prefill = timings.prompt_tokens >= fewest_prompt_tokens ? timings.prefill_per_second : 0.0;
    auto const decode = timings.completion_tokens >= fewest_completion_tokens ? timings.decode_per_second : 0.0;
    catalog_.observe(model, prefill, decode);
}

Task<> Executor::reap(JobHandle job)
{
    co_await job->tasks.join();
    std::erase(jobs_, job);
    reaped_.notify();
}

Task<> Executor::stop()
{
    stopping_ = true;
    auto const jobs = jobs_;
    for (auto const& job : jobs) {
        end(job, Error{ErrorKind::closed, "the device is stopping"});
        if (!std::exchange(job->abandoned, true)) {
            tasks_.spawn("end of a task", reap(job));
        }
    }
    while (!jobs_.empty()) {
        co_await reaped_.wait();
    }
    co_await tasks_.join();
}

Task<> Executor::serve(std::unique_ptr<Stream> incoming)
{
    auto const stream = std::shared_ptr<Stream>(std::move(incoming));
    auto start = co_await read_start(*stream);
    if (!start) {
        co_await refuse(*stream, std::move(start.error()));
        co_return;
    }
    auto execution = admit(stream->peer(), std::move(*start));
    if (!execution) {
        co_await refuse(*stream, std::move(execution.error()));
        co_return;
    }
    auto const& job = (*execution)->job_;
    job->tasks.spawn("watch a task stream", watch(stream, job));
    co_await write_replies(stream, **execution);
}

Task<Result<Start>> Executor::read_start(Stream& stream)
{
    struct Counted {
        std::size_t& count;
        explicit Counted(std::size_t& counter) : count(counter) { ++count; }
        ~Counted() { --count; }
    };
    if (opening_ >= limits_.opening) {
        co_return fail(ErrorKind::unavailable, "the device takes {} tasks at once already", opening_);
    }
    auto const counted = Counted(opening_);
    auto const limit = env_.deadline_in(start_limit);
    auto const message = co_await with_deadline(env_, limit, stream::read_message(stream, max_start_bytes));
    if (!message) {
        co_return std::unexpected(message.error());
    }
    co_return decode_start(*message);
}

Task<> Executor::refuse(Stream& stream, Error error)
{
    log::debug("a task was refused", {{"peer", stream.peer().short_text()}, {"kind", to_string(error.kind)}});
    if (error.kind == ErrorKind::closed || error.kind == ErrorKind::timed_out) {
        co_return;
    }
    auto const message = encode(Reply(Failed{std::move(error)}));
    auto const written = co_await stream::write_message(stream, message);
    if (written) {
        std::ignore = co_await stream.close_write();
    }
}

Task<> Executor::write_replies(std::shared_ptr<Stream> stream, Execution& execution)
{
    auto reply = Reply(Accepted{});
    for (;;) {
        auto const message = encode(reply);
        auto const stalled = Alarm(env_, env_.now() + stall_limit, [stream] { stream->reset(); });
        auto const written = co_await stream::write_message(*stream, message);
        if (!written) {
            co_return;
        }
        if (std::holds_alternative<Done>(reply) || std::holds_alternative<Failed>(reply)) {
            break;
        }
        auto const wake = env_.now() + progress_interval;
        auto next = co_await execution.next(wake);
        reply = next ? std::move(*next) : Reply(execution.progress());
    }
    std::ignore = co_await stream->close_write();
}

/// The requester sends nothing after Start: an end, a reset or a word too many cancels the task.
Task<> Executor::watch(std::shared_ptr<Stream> stream, std::weak_ptr<Job> job)
{
    auto buffer = std::array<std::byte, 1>{};
    std::ignore = co_await stream->read_some(buffer);
    stream->reset();
    if (auto const held = job.lock()) {
        end(held, Error{ErrorKind::cancelled, "the requester gave up"});
    }
}

Execution::Execution(Executor& executor, std::shared_ptr<Executor::Job> job) : executor_(executor), job_(std::move(job)) {}

Execution::~Execution()
{
    if (std::exchange(job_->abandoned, true)) {
        return;
    }
    executor_.end(job_, std::nullopt);
    executor_.tasks_.spawn("end of a task", executor_.reap(job_));
}

Task<std::optional<Reply>> Execution::next(Time wake)
{
    auto const job = job_;
    auto const alarm = Alarm(executor_.env_, wake, [job] { job->changed.notify(); });
    for (;;) {
        auto const told = std::exchange(job->told_stage, job->stage);
        if (!job->replies.empty()) {
            auto reply = std::move(job->replies.front());
            job->replies.pop_front();
            if (auto const* chunk = std::get_if<Chunk>(&reply)) {
                job->waiting_bytes -= size_of(*chunk);
            }
            job->changed.notify();
            co_return reply;
        }
        if (told != job->stage) {
            co_return progress();
        }
        if (job->state == Executor::Job::State::over) {
            co_return Failed{{ErrorKind::closed, "the task is over"}};
        }
        if (executor_.env_.now() >= wake) {
            co_return std::nullopt;
        }
        co_await job->changed.wait();
    }
}

Progress Execution::progress() const
{
    auto const& queue = executor_.queue_;
    auto const place = std::ranges::find(queue, job_);
    return {job_->stage, place == queue.end() ? 0 : static_cast<std::uint32_t>(place - queue.begin())};
}

}  // namespace plexus::scheduling
