#pragma once

#include <set>

#include "base/sim_env.h"
#include "scheduling/scheduling.h"

/// Devices with host, catalog and scheduler over the simulated network, and an inference that follows a script.
namespace plexus::scheduling::testing {

using multiformats::Multiaddr;

/// What the engine of a device does with every task.
struct Script {
    std::size_t chunks = 5;
    std::size_t chunk_bytes = 0;  ///< padding
    Duration pause = std::chrono::milliseconds(20);   ///< before each chunk
    Duration loading = Duration::zero();
    double prefill_per_second = 0;  ///< tokens of four bytes, before the first chunk; then it gives "max_tokens" chunks
    std::size_t fails_at = SIZE_MAX;  ///< the chunk that never comes
    ErrorKind failure = ErrorKind::closed;
    bool speaks = false;  ///< its chunks are those of a chat: "0 ", "1 "
    bool ends_with_reason = false;  ///< the last of those says why the answer ends
    bool tells_tokens = false;  ///< it speaks, each word a token, and goes on behind those that were said
};

class ScriptedRunner final : public Runner {
public:
    explicit ScriptedRunner(Env& env_used) : env(env_used) {}

    Task<Result<std::unique_ptr<inference::Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                               std::function<void()> loading) override;
    bool is_external(ModelDigest const& model) const override { return external.contains(model); }

    Env& env;
    std::set<ModelDigest> external;
    Script script;
    std::size_t started = 0;
    std::size_t alive = 0;     ///< answers under way
    std::size_t produced = 0;  ///< chunks of all answers
    Time last_end{};           ///< when an answer was given up or finished
    std::string last_body;
    TaskKind last_kind = TaskKind::chat;
};

/// The chunks that a script gives for kinds that are streamed.
std::string scripted_chunk(std::size_t number, std::size_t padding);

/// And for the others: all of them together.
std::string scripted_document(TaskKind kind, Script const& script);

catalog::Model model(std::string name, std::string content = {});

struct OpenGater : host::Gater {
    bool allow_address(Endpoint const&, host::Direction) override { return true; }
    host::Admission admit(PeerId const&, host::Direction) override { return host::Admission::member; }
};

struct Device {
    Device(sim::World& world, std::string name, int number, Limits limits);

    PeerId const& id() const { return host->local_peer(); }
    Task<> connect(Device& other);
    Task<> stop();

    sim::SimEnv& env;
    OpenGater gater;
    std::unique_ptr<host::Host> host;
    std::unique_ptr<catalog::Catalog> catalog;
    ScriptedRunner runner;
    std::unique_ptr<Scheduler> scheduler;
    Multiaddr address;
};

/// `count` devices, not connected yet: left, right, third.
struct Mesh {
    explicit Mesh(std::size_t count, std::uint64_t seed = 1, Limits limits = {});

    /// Connects all to the first, waits for the catalogs, runs the task and stops all.
    void run(Task<> task);

    sim::World world;
    std::vector<std::unique_ptr<Device>> devices;
    Device& left;
    Device& right;
    Device& third;  ///< the first one again if there are fewer
};

/// All that a task gave, to its end.
struct Outcome {
    std::vector<TaskEvent> events;
    std::vector<std::string> chunks;
    std::vector<PeerId> routes;
    std::optional<Error> error;
    Timings timings;
    Duration took{};
};

InferenceTask ask(std::string model_name, TaskKind kind = TaskKind::chat);
Task<Outcome> finish(Env& env, Result<std::unique_ptr<RunningTask>> task);

}  // namespace plexus::scheduling::testing
