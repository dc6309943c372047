#pragma once

#include "inference/external.h"
#include "scheduling/placement.h"

namespace plexus::scheduling {

using inference::ModelDigest;
using inference::TaskKind;
using inference::Timings;

inline constexpr std::string_view task_protocol = "/plexus/task/1";
inline constexpr std::size_t max_body_bytes = 8 * 1024 * 1024 - 1024;  ///< of a task; fits an engine frame

/// What a user or program asks of a model.
struct InferenceTask {
    std::string request_id{};  ///< for logs; at most 128 bytes are sent
    std::string model{};       ///< a name as given, or the digest in hexadecimal
    TaskKind kind = TaskKind::chat;
    std::string
        body{};  ///< JSON object as the kind has it, at most max_body_bytes; usage is reported if it asks for it
    Deadline deadline = Deadline::never();
};

/// Where a task runs, and why there.
struct Route {
    PeerId device;
    ModelDigest model;
    std::string reason;
    bool is_external = false;  ///< by an engine that the owner runs
    Work work{};               ///< as it was expected when the route was chosen
    Prediction prediction{};
};

/// How a device stands for a task.
struct Standing {
    PeerId device;
    ModelDigest model;
    bool is_chosen = false;
    bool is_left_out = false;
    Prediction prediction{};  ///< unless it is left out
    std::string reason{};     ///< why it would take so long, or why it is left out
};

/// How well the times of tasks of this device were foretold.
struct Foretold {
    std::uint64_t close = 0;  ///< within a quarter
    std::uint64_t all = 0;
};

/// One step of a task.
struct TaskEvent {
    enum class Kind {
        routed,    ///< `route` is known: a device has accepted the task; again after a change of device
        waiting,   ///< nothing yet; `text` says for what ("loading the model"); repeated while it lasts
        chunk,     ///< `text` is one JSON object; of kinds that are not streamed the next bytes of one JSON document
        finished,  ///< nothing follows; `timings` are filled
    };
    Kind kind = Kind::finished;
    std::string text;
    Route route;  ///< of `routed`
    Timings timings;
};

/// A task under way. Destroying it cancels the task: at once on this device, within a second on another.
class RunningTask {
public:
    virtual ~RunningTask() = default;
    /// Errors end the task: `malformed` (the request), `too_large` (context, document), `not_found` (no device has the model any
    /// more), `unavailable` (full queues), `closed` (device or engine lost), `timed_out`. One call at a time. Must not
    /// be pending when the task is destroyed, unless it is cancelled first.
    virtual Task<Result<TaskEvent>> next() = 0;
};

/// Runs models on this device.
class Runner {
public:
    virtual ~Runner() = default;
    /// As inference::Inference::start.
    virtual Task<Result<std::unique_ptr<inference::Generation>>> start(ModelDigest model, TaskKind kind,
                                                                       std::string body,
                                                                       std::function<void()> loading) = 0;
    /// Whether an engine that the owner runs computes tasks for that model: it has slots and a queue of its own.
    virtual bool is_external(ModelDigest const&) const { return false; }
};

/// Tasks for models of `external`, if there is one, go there, all others to `inference`; both must outlive it.
std::unique_ptr<Runner> make_runner(inference::Inference& inference, inference::ExternalEngines* external = nullptr);

/// Hard limits of the tasks that this device computes, its own and those of other members together.
struct Limits {
    std::size_t running = 8;
    std::size_t queued = 32;
    std::size_t external = inference::max_external_tasks;  ///< at engines of the owner; not counted above, never queued
    std::size_t per_member = 16;                      ///< running and queued, for one other member
    std::size_t opening = 8;                          ///< streams whose Start has not come whole
    std::size_t body_bytes = 64 * 1024 * 1024;        ///< of all tasks together
};

struct Options {
    Limits limits;
    /// The name of a device for people; nothing set: the end of its id.
    std::function<std::string(PeerId const&)> name_of;
    /// Nothing set: make_placement().
    std::unique_ptr<Placement> placement;
};

/// Runs tasks where they run best, and serves the tasks of other members.
class Scheduler {
public:
    virtual ~Scheduler() = default;

    /// Resolves the model and ranks the devices; the work begins with the first `next()`.
    ///
    /// A model is named by digest or by name, compared byte by byte, over all devices known. A name that means several
    /// digests means the one that this device holds, else the one that most ready devices hold, then most devices, then
    /// that of an engine that the owner runs; where one of two is such, each is tried when the other cannot be had.
    /// Errors: `not_found` (with the nearest name), `malformed` (the model is not made for such tasks, with one that is),
    /// `unavailable` (all its devices are away), `too_large`.
    virtual Result<std::unique_ptr<RunningTask>> start(InferenceTask task) = 0;

    /// How the holders of a model stand for a task of so many tokens, the best first. Nothing is asked of them. Zero tokens: as
    /// tasks for the model are wont to have. Errors: `not_found`, `malformed`, as `start`.
    virtual Result<std::vector<Standing>> explain(std::string_view model, Work const& work) const = 0;
    virtual Foretold foretold() const = 0;

    virtual std::size_t running() const = 0;
    virtual std::size_t queued() const = 0;

    /// Whether other members get no answers here. Tells them by the catalog; tasks that were taken go on.
    virtual void set_paused(bool paused) = 0;

    /// Ends all tasks of others and joins; running tasks of this device fail with `closed`. Must be awaited before
    /// destruction and before `stop()` of host and catalog, which the scheduler must outlive.
    virtual Task<> stop() = 0;
};

/// Begins to serve at once. All that is borrowed must outlive it.
std::unique_ptr<Scheduler> make_scheduler(Env& env, host::Host& host, catalog::Catalog& catalog, Runner& runner,
                                          Options options = {});

}  // namespace plexus::scheduling
