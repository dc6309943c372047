#include "scheduling/scheduling.h"

#include "base/log.h"
#include "host/round_trip.h"
#include "scheduling/continuation.h"
#include "scheduling/executor.h"
#include "scheduling/experience.h"
#include "scheduling/resolve.h"
#include "stream/messages.h"

namespace plexus::scheduling {

namespace {

constexpr auto open_limit = std::chrono::seconds(5);
constexpr auto send_limit = std::chrono::seconds(60);    // for a Start of up to 8 MiB on a slow link
constexpr auto silence_limit = std::chrono::seconds(2);  // an executor speaks every 500 ms

/// A device that was lost so often is not asked again for the same answer.
constexpr std::size_t max_losses = 2;
using Losses = std::map<PeerId, std::size_t>;

std::unexpected<Error> passed_deadline()
{
    return fail(ErrorKind::timed_out, "the deadline of the task passed");
}

/// One try to run a task on one device. Destroying it cancels.
class Attempt {
public:
    virtual ~Attempt() = default;
    /// Errors: `closed` when the device is lost, `timed_out` at the deadline.
    virtual Task<Result<Reply>> next(Deadline deadline) = 0;
};

class LocalAttempt final : public Attempt {
public:
    LocalAttempt(Executor& executor, Start start) : executor_(executor), start_(std::move(start)) {}

    Task<Result<Reply>> next(Deadline deadline) override
    {
        if (!execution_) {
            auto admitted = executor_.admit(std::nullopt, std::move(start_));
            if (!admitted) {
                co_return Failed{std::move(admitted.error())};
            }
            execution_ = std::move(*admitted);
            co_return Accepted{};
        }
        auto reply = co_await execution_->next(deadline.at());
        if (!reply) {
            co_return passed_deadline();
        }
        co_return std::move(*reply);
    }

private:
    Executor& executor_;
    Start start_;
    std::unique_ptr<Execution> execution_;
};

class RemoteAttempt final : public Attempt {
public:
    RemoteAttempt(Env& env, host::Host& host, PeerId device, Start start)
        : env_(env), host_(host), device_(std::move(device)), start_(std::move(start))
    {
    }

    Task<Result<Reply>> next(Deadline deadline) override
    {
        if (!stream_) {
            auto const begun = co_await begin(deadline);
            if (!begun) {
                co_return std::unexpected(begun.error());
            }
        }
        auto const limit = deadline.earlier(env_.deadline_in(silence_limit));
        auto const message = co_await with_deadline(env_, limit, stream::read_message(*stream_, max_reply_bytes));
        if (message) {
            auto reply = reader_.take(*message);
            if (reply) {
                co_return reply;
            }
            stream_->reset();
            co_return fail(ErrorKind::closed, "it sent what is no answer");
        }
        stream_->reset();
        auto const is_late = message.error().kind == ErrorKind::timed_out;
        if (is_late && deadline.passed(env_.now())) {
            co_return passed_deadline();
        }
        co_return fail(ErrorKind::closed, "{}", is_late ? "it fell silent" : "the connection ended");
    }

private:
    Task<Result<void>> begin(Deadline deadline)
    {
        auto const limit = deadline.earlier(env_.deadline_in(open_limit));
        auto opened = co_await host_.open_stream(device_, std::string(task_protocol), limit);
        if (!opened) {
            co_return std::unexpected(std::move(opened.error()));
        }
        stream_ = std::move(*opened);
        auto const message = encode(start_);
        start_.body = {};
        auto const send = deadline.earlier(env_.deadline_in(send_limit));
        auto const sent = co_await with_deadline(env_, send, stream::write_message(*stream_, message));
        if (!sent && sent.error().kind == ErrorKind::timed_out) {
            stream_->reset();
            co_return deadline.passed(env_.now()) ? passed_deadline() : fail(ErrorKind::closed, "it does not take the task");
        }
        // Otherwise a refusal may have come before all was written, and what is there to read says why.
        co_return Result<void>{};
    }

    Env& env_;
    host::Host& host_;
    PeerId device_;
    Start start_;
    std::unique_ptr<host::Stream> stream_;
    ReplyReader reader_;
};

std::string waiting_text(Progress const& progress)
{
    switch (progress.stage) {
    case Progress::Stage::queued: return fmt::format("waiting in the queue, {} tasks before this one", progress.ahead);
    case Progress::Stage::loading: return "loading the model";
    case Progress::Stage::computing: break;
    }
    return "reading the prompt";
}

/// The fault lies in the request: no other device would do better.
bool blames_request(ErrorKind kind)
{
    return kind == ErrorKind::malformed || kind == ErrorKind::too_large;
}

/// The kinds that RunningTask promises.
ErrorKind told_kind(ErrorKind kind)
{
    switch (kind) {
    case ErrorKind::malformed:
    case ErrorKind::too_large:
    case ErrorKind::not_found:
    case ErrorKind::unavailable:
    case ErrorKind::timed_out: return kind;
    default: return ErrorKind::closed;
    }
}

/// What is known of a task before it is placed.
struct Asked {
    std::string_view body;
    PromptBlocks blocks{};
    Work work{};  ///< zero tokens: by the body
};

class SchedulerImpl final : public Scheduler {
public:
    SchedulerImpl(Env& env, host::Host& host, catalog::Catalog& catalog, Runner& runner, Options options)
        : env_(env), host_(host), catalog_(catalog), name_of_(std::move(options.name_of)),
          placement_(options.placement ? std::move(options.placement) : make_placement()),
          executor_(env, runner, catalog, options.limits)
    {
        host.handle(std::string(task_protocol), host::Admission::member,
                    [this](std::unique_ptr<host::Stream> stream) { return executor_.serve(std::move(stream)); });
    }

    Result<std::unique_ptr<RunningTask>> start(InferenceTask task) override;
    Result<std::vector<Standing>> explain(std::string_view model, Work const& work) const override;
    Foretold foretold() const override { return {experience_.foretold(), experience_.noted()}; }
    std::size_t running() const override { return executor_.running(); }
    void set_paused(bool paused) override
    {
        executor_.set_paused(paused);
        catalog_.set_paused(paused);
    }
    std::size_t queued() const override { return executor_.queued(); }
    Task<> stop() override { return executor_.stop(); }

    Env& env() { return env_; }
    std::unique_ptr<Attempt> attempt(PeerId const& device, Start start);
    /// The devices that may go on with a task after losses; those that were never lost come first.
    std::vector<Route> routes_again(std::string const& model, TaskKind kind, Asked const& asked,
                                    Losses const& losses) const;
    void note(Route const& route, PromptBlocks blocks, Outcome const& outcome)
    {
        experience_.note(route.device, route.model, std::move(blocks), outcome);
    }
    std::string name_of(PeerId const& device) const { return name_of_ ? name_of_(device) : device.short_text(); }

private:
    Result<std::vector<Route>> routes(Resolved const& resolved, Asked const& asked) const;
    void add_routes(std::vector<Route>& routes, std::vector<catalog::Holder> const& holders, Asked const& asked) const;
    Candidate candidate_of(catalog::Holder const& holder, Asked const& asked) const;

    Env& env_;
    host::Host& host_;
    catalog::Catalog& catalog_;
    std::function<std::string(PeerId const&)> name_of_;
    std::unique_ptr<Placement> placement_;
    Experience experience_;
    Executor executor_;
};

class PlacedTask final : public RunningTask {
public:
    PlacedTask(SchedulerImpl& scheduler, InferenceTask task, PromptBlocks blocks, std::vector<Route> routes)
        : scheduler_(scheduler), task_(std::move(task)), blocks_(std::move(blocks)), routes_(std::move(routes))
    {
    }

    Task<Result<TaskEvent>> next() override
    {
        while (!over_) {
            if (!attempt_) {
                attempt_ = scheduler_.attempt(route().device, start_message());
                waited_ = Duration::zero();
            }
            auto const from = scheduler_.env().now();
            auto reply = co_await attempt_->next(task_.deadline);
            waited_ += scheduler_.env().now() - from;
            auto const* failed = reply ? std::get_if<Failed>(&*reply) : nullptr;
            if (reply && failed == nullptr) {
                if (auto event = take(std::move(*reply)); !event || *event) {
                    co_return transform(std::move(event), [](auto taken) { return std::move(*taken); });
                }
                continue;
            }
            auto const is_told = failed != nullptr;
            auto const error = is_told ? failed->error : reply.error();
            attempt_.reset();
            if (so_far_.timings()) {  // nothing is missing but its end
                co_return event_of(Done{*so_far_.timings()});
            }
            auto const told = told_error(error, is_told);
            if (!goes_elsewhere(error, told, is_told)) {
                over_ = true;
                co_return std::unexpected(lost_.value_or(told));
            }
            log::info(
                goes_on_ ? "an answer goes on elsewhere" : "a task goes elsewhere",
                {{"task", task_.request_id}, {"kind", to_string(error.kind)}, {"device", route().device.short_text()}});
        }
        co_return fail(ErrorKind::closed, "the task is over");
    }

private:
    Route const& route() const { return routes_[at_]; }

    Start start_message() const
    {
        auto const& deadline = task_.deadline;
        auto const limit = deadline.is_never() ? Duration::zero() : deadline.remaining(scheduler_.env().now());
        return {task_.request_id, route().model, task_.kind, task_.body, limit};
    }

    /// Chooses the device of the next attempt; false if there is none.
    bool goes_elsewhere(Error const& error, Error const& told, bool is_told)
    {
        auto const refuses_rest = goes_on_ && !has_spoken_;  // where another device may have more room
        if (task_.deadline.passed(scheduler_.env().now()) || (blames_request(error.kind) && !refuses_rest)) {
            lost_.reset();
            return false;
        }
        // A device that was at work, or whose engine ended, may do better the next time.
        auto const may_return = error.kind == ErrorKind::closed && (is_told || has_spoken_);
        losses_[route().device] += may_return ? 1 : max_losses;
        if (!keep_answer(told)) {
            return false;
        }
        if (!goes_on_ && ++at_ < routes_.size()) {
            return true;
        }
        auto again = scheduler_.routes_again(model_name(), task_.kind, {task_.body, blocks_}, losses_);
        std::erase_if(again, [this](Route const& each) { return goes_on_ && each.is_external; });
        if (again.empty()) {
            at_ = routes_.size() - 1;
            return false;
        }
        routes_ = std::move(again);
        at_ = 0;
        return true;
    }

    /// What was said becomes a part of the request. False if it cannot.
    bool keep_answer(Error const& lost)
    {
        if (!std::exchange(has_spoken_, false)) {
            return true;
        }
        // An engine of ours that tells no tokens is not followed by text: a retry would be no better.
        auto const is_lost = task_.kind != TaskKind::chat || (so_far_.has_text_alone() && !route().is_external);
        auto body = is_lost ? fail(ErrorKind::closed, "it cannot be continued") : so_far_.body(task_.body);
        if (!body || body->size() > max_body_bytes) {
            lost_.reset();
            return false;
        }
        lost_ = Error{lost.kind, lost.text + "; no other device could go on with it"};
        task_.body = std::move(*body);
        said_by_ = so_far_.has_tokens() ? route().model : said_by_;
        is_whole_ = is_whole_ || so_far_.is_whole();
        so_far_ = {};
        goes_on_ = true;
        return true;
    }

    /// Tokens mean something to their model alone.
    std::string model_name() const { return said_by_ ? said_by_->text() : task_.model; }

    /// The error as the task's owner sees it.
    Error told_error(Error const& error, bool told_by_executor) const
    {
        auto const kind = told_kind(error.kind);
        if (told_by_executor || error.kind == ErrorKind::timed_out) {
            return {kind, error.text};
        }
        auto const device = scheduler_.name_of(route().device);
        return {kind, has_spoken_ ? fmt::format("{} was lost in the middle of the answer: {}", device, error.text)
                                  : fmt::format("{} cannot be reached: {}", device, error.text)};
    }

    /// Nothing if the client has it already.
    Result<std::optional<TaskEvent>> take(Reply reply)
    {
        if (auto const* chunk = std::get_if<Chunk>(&reply)) {
            if (!inference::is_streamed(task_.kind)) {
                document_bytes_ += chunk->json.size();
            }
            has_spoken_ = true;
            if (task_.kind == TaskKind::chat) {
                so_far_.note(*chunk);
            }
            if (is_whole_ && !is_usage_alone(chunk->json)) {
                return std::optional<TaskEvent>{};
            }
        }
        if (document_bytes_ > inference::max_document_bytes) {
            over_ = true;
            attempt_.reset();
            return fail(ErrorKind::too_large, "the answer has more than {} bytes; ask for less at a time",
                        inference::max_document_bytes);
        }
        return std::optional(event_of(std::move(reply)));
    }

    TaskEvent event_of(Reply reply)
    {
        auto event = TaskEvent{};
        if (std::holds_alternative<Accepted>(reply)) {
            event.kind = TaskEvent::Kind::routed;
            event.route = route();
        } else if (auto const* progress = std::get_if<Progress>(&reply)) {
            event.kind = TaskEvent::Kind::waiting;
            event.text = waiting_text(*progress);
        } else if (auto* chunk = std::get_if<Chunk>(&reply)) {
            event.kind = TaskEvent::Kind::chunk;
            event.text = std::move(chunk->json);
        } else {
            event.timings = std::get<Done>(reply).timings;
            note_outcome(event.timings);
            over_ = true;
            attempt_.reset();
        }
        return event;
    }

    /// Of answers that were given where they were expected, in one piece.
    void note_outcome(Timings const& timings)
    {
        if (goes_on_ || !inference::is_streamed(task_.kind)) {
            return;
        }
        scheduler_.note(route(), std::move(blocks_),
                        {.work = route().work,
                         .prediction = route().prediction,
                         .prompt_tokens = timings.prompt_tokens,
                         .output_tokens = timings.completion_tokens,
                         .body = task_.body,
                         .took = waited_});
    }

    SchedulerImpl& scheduler_;
    InferenceTask task_;  // its body grows by what was said
    PromptBlocks blocks_;
    std::vector<Route> routes_;  // best first; those before at_ have refused
    Duration waited_{};          // for replies of this attempt
    std::size_t at_ = 0;
    Losses losses_;
    bool has_spoken_ = false;  // this attempt gave out a chunk
    bool goes_on_ = false;     // an earlier one did
    bool is_whole_ = false;    // all but the usage was given out
    std::optional<Error> lost_;  // what cut the answer off last
    std::optional<ModelDigest> said_by_;
    Continuation so_far_;  // of this attempt
    std::size_t document_bytes_ = 0;
    bool over_ = false;
    std::unique_ptr<Attempt> attempt_;
};

std::unique_ptr<Attempt> SchedulerImpl::attempt(PeerId const& device, Start start)
{
    if (device == host_.local_peer()) {
        return std::make_unique<LocalAttempt>(executor_, std::move(start));
    }
    return std::make_unique<RemoteAttempt>(env_, host_, device, std::move(start));
}

/// Null: it may be asked.
char const* why_left_out(catalog::Entry const& entry)
{
    if (entry.state != catalog::State::ready) {
        return "it is away";
    }
    return entry.snapshot->is_paused && !entry.is_self ? "its owner has paused it" : nullptr;
}

Candidate SchedulerImpl::candidate_of(catalog::Holder const& holder, Asked const& asked) const
{
    auto const& snapshot = *holder.entry.snapshot;
    auto const& model = *holder.model;
    auto const& device = holder.entry.device;
    return {.device = device,
            .is_self = holder.entry.is_self,
            .is_loaded = model.loaded.has_value() || model.is_external,
            .slots = model.loaded ? model.loaded->slots : 0,
            .running = snapshot.running,
            .queued = snapshot.queued,
            .speed = model.speed,
            .model_bytes = model.size_bytes,
            .known_tokens = experience_.known_tokens(device, model.digest, asked.blocks),
            .round_trip = host::round_trip_to(host_, device).value_or(Duration::zero()),
            .correction = experience_.correction(device, model.digest)};
}

void SchedulerImpl::add_routes(std::vector<Route>& routes, std::vector<catalog::Holder> const& holders,
                               Asked const& asked) const
{
    if (holders.empty()) {
        return;
    }
    auto work = experience_.work(holders.front().model->digest, asked.body);
    work.prompt_tokens = asked.work.prompt_tokens > 0 ? asked.work.prompt_tokens : work.prompt_tokens;
    work.output_tokens = asked.work.output_tokens > 0 ? asked.work.output_tokens : work.output_tokens;
    auto candidates = std::vector<Candidate>{};
    auto models = std::vector<catalog::Model const*>{};
    for (auto const& holder : holders) {
        if (!why_left_out(holder.entry)) {
            candidates.push_back(candidate_of(holder, asked));
            models.push_back(holder.model);
        }
    }
    for (auto& choice : placement_->rank(candidates, work)) {
        auto const& model = *models.at(choice.candidate);
        routes.push_back({.device = candidates.at(choice.candidate).device,
                          .model = model.digest,
                          .reason = std::move(choice.reason),
                          .is_external = model.is_external,
                          .work = work,
                          .prediction = choice.prediction});
    }
}

Result<std::vector<Route>> SchedulerImpl::routes(Resolved const& resolved, Asked const& asked) const
{
    auto found = std::vector<Route>{};
    add_routes(found, resolved.holders, asked);
    add_routes(found, resolved.substitutes, asked);
    if (found.empty()) {
        auto reasons = std::string{};
        for (auto const& holder : resolved.holders) {
            if (auto const reason = why_left_out(holder.entry)) {
                reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", name_of(holder.entry.device), reason);
            }
        }
        return fail(ErrorKind::unavailable, "no device that holds the model can be asked now ({})", reasons);
    }
    return found;
}

std::vector<Route> SchedulerImpl::routes_again(std::string const& model, TaskKind kind, Asked const& asked,
                                               Losses const& losses) const
{
    auto const resolved = resolve(catalog_, model, kind);
    auto found = resolved ? routes(*resolved, asked).value_or(std::vector<Route>{}) : std::vector<Route>{};
    auto const losses_of = [&](Route const& route) {
        auto const lost = losses.find(route.device);
        return lost == losses.end() ? 0 : lost->second;
    };
    auto ordered = std::vector<Route>{};
    for (std::size_t lost = 0; lost < max_losses; ++lost) {
        std::ranges::copy_if(found, std::back_inserter(ordered),
                             [&](Route const& route) { return losses_of(route) == lost; });
    }
    return ordered;
}

Result<std::unique_ptr<RunningTask>> SchedulerImpl::start(InferenceTask task)
{
    if (task.body.size() > max_body_bytes) {
        return fail(ErrorKind::too_large, "the request has {} bytes, at most {} are taken", task.body.size(), max_body_bytes);
    }
    auto const resolved = resolve(catalog_, task.model, task.kind);
    if (!resolved) {
        return std::unexpected(resolved.error());
    }
    auto asked = Asked{task.body, blocks_of(task.body)};
    auto found = routes(*resolved, asked);
    if (!found) {
        return std::unexpected(found.error());
    }
    return std::make_unique<PlacedTask>(*this, std::move(task), std::move(asked.blocks), std::move(*found));
}

Result<std::vector<Standing>> SchedulerImpl::explain(std::string_view model, Work const& work) const
{
    auto const resolved = resolve(catalog_, model, TaskKind::chat);
    if (!resolved) {
        return std::unexpected(resolved.error());
    }
    auto standings = std::vector<Standing>{};
    for (auto const& route : routes(*resolved, {.body = {}, .work = work}).value_or(std::vector<Route>{})) {
        standings.push_back({.device = route.device,
                             .model = route.model,
                             .is_chosen = standings.empty(),
                             .prediction = route.prediction,
                             .reason = route.reason});
    }
    for (auto const* holders : {&resolved->holders, &resolved->substitutes}) {
        for (auto const& holder : *holders) {
            if (auto const reason = why_left_out(holder.entry)) {
                standings.push_back({.device = holder.entry.device,
                                     .model = holder.model->digest,
                                     .is_left_out = true,
                                     .reason = reason});
            }
        }
    }
    return standings;
}

class EngineRunner final : public Runner {
public:
    EngineRunner(inference::Inference& inference, inference::ExternalEngines* external)
        : inference_(inference), external_(external)
    {
    }

    Task<Result<std::unique_ptr<inference::Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                               std::function<void()> loading) override
    {
        auto& engine = is_external(model) ? static_cast<inference::TaskEngine&>(*external_) : inference_;
        return engine.start(model, kind, std::move(body), std::move(loading));
    }

    bool is_external(ModelDigest const& model) const override
    {
        return external_ != nullptr && external_->holds(model);
    }

private:
    inference::Inference& inference_;
    inference::ExternalEngines* external_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(inference::Inference& inference, inference::ExternalEngines* external)
{
    return std::make_unique<EngineRunner>(inference, external);
}

std::unique_ptr<Scheduler> make_scheduler(Env& env, host::Host& host, catalog::Catalog& catalog, Runner& runner,
                                          Options options)
{
    return std::make_unique<SchedulerImpl>(env, host, catalog, runner, std::move(options));
}

}  // namespace plexus::scheduling
