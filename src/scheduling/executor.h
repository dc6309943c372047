#pragma once

#include "scheduling/task_message.h"

namespace plexus::scheduling {

/// Named limits beside those of Limits.
inline constexpr std::size_t max_waiting_bytes = 256 * 1024;              ///< of replies that nobody has taken
inline constexpr auto progress_interval = std::chrono::milliseconds(400);  ///< the protocol says 500 at most
inline constexpr auto start_limit = std::chrono::seconds(60);              ///< for a Start to come whole
inline constexpr auto stall_limit = std::chrono::seconds(60);              ///< an answer that nobody takes ends

class Execution;

/// Computes tasks on this device, in the order in which they came, and serves those of other members.
class Executor {
public:
    Executor(Env& env, Runner& runner, catalog::Catalog& catalog, Limits limits);
    ~Executor();

    /// Takes a task of another member, or (nothing) of this device. Errors: `unavailable` over a limit, `closed`.
    Result<std::unique_ptr<Execution>> admit(std::optional<PeerId> requester, Start start);

    /// One incoming stream of /plexus/task/1.
    Task<> serve(std::unique_ptr<host::Stream> stream);

    /// Whether tasks of other members are refused. Those that were taken go on.
    void set_paused(bool paused) { paused_ = paused; }

    std::size_t running() const { return running_; }
    std::size_t queued() const { return queue_.size(); }

    /// Ends all tasks and joins.
    Task<> stop();

private:
    friend class Execution;
    struct Job;
    using JobHandle = std::shared_ptr<Job>;

    Result<void> check_room(std::optional<PeerId> const& requester, std::size_t body_bytes, bool is_external) const;
    void start_next();
    void run(JobHandle const& job);
    void end(JobHandle const& job, std::optional<Error> error);
    void release(JobHandle const& job);
    void load_changed();
    Task<> compute(JobHandle job);
    Task<Result<Timings>> generate(JobHandle job);
    Task<Result<void>> wait_for_room(JobHandle job);
    Task<> reap(JobHandle job);
    void observe(ModelDigest const& model, Timings const& timings);

    Task<Result<Start>> read_start(host::Stream& stream);
    Task<> refuse(host::Stream& stream, Error error);
    Task<> write_replies(std::shared_ptr<host::Stream> stream, Execution& execution);
    Task<> watch(std::shared_ptr<host::Stream> stream, std::weak_ptr<Job> job);

    Env& env_;
    Runner& runner_;
    catalog::Catalog& catalog_;
    Limits limits_;
    std::vector<JobHandle> jobs_;  // until reaped
    std::deque<JobHandle> queue_;
    std::size_t running_ = 0;
    std::size_t running_external_ = 0;  // of those
    std::size_t opening_ = 0;
    std::size_t body_bytes_ = 0;
    bool paused_ = false;
    bool stopping_ = false;
    Signal reaped_;
    TaskScope tasks_;
};

/// A task that the executor has taken. Destroying it cancels the task.
class Execution {
public:
    Execution(Executor& executor, std::shared_ptr<Executor::Job> job);
    Execution(Execution const&) = delete;
    ~Execution();

    /// The next Progress (on a change of stage), Chunk, Done or Failed; nothing if none came until `wake`.
    Task<std::optional<Reply>> next(Time wake);

    /// Where the task stands now.
    Progress progress() const;

private:
    friend class Executor;
    Executor& executor_;
    std::shared_ptr<Executor::Job> job_;
};

}  // namespace plexus::scheduling
