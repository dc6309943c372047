#pragma once

// Simulated child processes: coroutines behind a local socket. Not for other modules: use SimEnv::set_program().

#include "base/sim_network.h"

namespace plexus::sim {

class SimProcesses final : public Processes {
public:
    SimProcesses(World::State& world, Env& env, std::string name) : world_(world), env_(env), name_(std::move(name)) {}

    void set_program(std::string const& path, Program program) { programs_[path] = std::move(program); }
    Result<std::unique_ptr<Process>> start(ProcessOptions options) override;

private:
    World::State& world_;
    Env& env_;
    std::string name_;
    std::map<std::string, Program> programs_;
    int last_id_ = 1000;
};

}  // namespace plexus::sim
