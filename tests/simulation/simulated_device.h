#pragma once

#include "membership/log.h"
#include "node/device.h"
#include "simulation/findings.h"
#include "simulation/scripted_engine.h"

namespace plexus::simulation {

using multiformats::PeerId;

/// A model file that devices may hold, the same everywhere.
struct ModelFile {
    std::string name;
    Bytes bytes;
    crypto::Digest32 digest{};
};

ModelFile tiny_model(std::string name);

/// One device of a simulated mesh over its lives: a real node::Device on a disk that survives crashes.
///
/// Tasks that it asks are counted and checked part by part against the engine's pure function.
class SimulatedDevice {
public:
    static constexpr std::uint16_t port = 7598;

    SimulatedDevice(sim::World& world, std::string name, Findings& findings);

    /// Begins a life. False if the disk does not let it, which a later try may.
    bool open();
    /// Ends its clients' tasks, then the device, in order.
    Task<> stop();
    /// Power off: nothing it does is seen any more. It may be opened again when this has ended.
    Task<> crash(bool silent);

    bool is_up() const { return device_ != nullptr && !ending_; }
    /// Between two lives, or in the middle of ending one.
    bool is_ending() const { return ending_; }
    node::Device& device() { return *device_; }
    sim::SimEnv& env() { return env_; }
    std::string const& name() const { return name_; }
    PeerId const& id() const { return id_; }
    EngineMood& mood() { return *mood_; }
    Time down_since() const { return down_since_; }
    multiformats::Multiaddr address() const;

    /// Puts the file on the disk and imports it. What was imported must be there in every later life.
    Task<bool> import(ModelFile const& model);
    std::vector<std::string> const& models() const { return models_; }

    /// Joins the mesh of the link; true if it is a member then.
    Task<bool> join(std::string link);
    /// Runs beside the clients' tasks and ends with them.
    void in_background(std::string what, Task<> work) { clients_->spawn(std::move(what), std::move(work)); }

    /// Asks in the background.
    void ask(ModelFile const& model, inference::TaskKind kind, std::string prompt, Duration limit);
    /// Asks and waits; true for a whole answer.
    Task<bool> ask_and_wait(ModelFile const& model, std::string prompt, Duration limit);

    std::uint64_t asked() const { return asked_; }
    std::uint64_t answered() const { return answered_; }
    std::uint64_t failed() const { return failed_; }

    /// Epochs of its catalog entries, oldest life first.
    std::vector<std::uint64_t> const& epochs() const { return epochs_; }
    /// Membership log on its disk; checks that it only grew since the last look.
    membership::Log const* log_on_disk();
    /// Notes tasks that should have ended by now.
    void check_for_hanging_tasks();

private:
    class Asking;
    Task<Result<void>> follow(ModelFile const& model, inference::TaskKind kind, std::string prompt, Duration limit);
    Task<> ask_in_background(ModelFile const& model, inference::TaskKind kind, std::string prompt, Duration limit);
    void check_end(Result<void> const& end);

    sim::World& world_;
    std::string name_;
    Findings& findings_;
    sim::SimEnv& env_;
    std::shared_ptr<EngineMood> mood_ = std::make_shared<EngineMood>();
    std::unique_ptr<node::Device> device_;
    std::unique_ptr<TaskScope> clients_;
    PeerId id_;
    bool ending_ = false;
    Time down_since_{};
    std::vector<std::string> models_;
    std::vector<std::uint64_t> epochs_;
    std::map<std::uint64_t, Time> open_tasks_;  ///< by number: when each must have ended
    std::uint64_t asked_ = 0;
    std::uint64_t answered_ = 0;
    std::uint64_t failed_ = 0;
    Bytes seen_log_;
    std::optional<membership::Log> log_;
};

}  // namespace plexus::simulation
