#pragma once

#include <optional>

#include "base/env.h"
#include "base/task.h"
#include "sandbox/report.h"

namespace plexus::node {

/// What stands around the engines of this device.
class EngineSandbox {
public:
    /// `program` is plexus-engine; `forbidden_paths` what its probe must fail to open. `env` must outlive this.
    EngineSandbox(Env& env, std::filesystem::path program, std::vector<std::string> forbidden_paths);

    /// Begins a test in the background, so that the walls are known before the first model is asked for.
    void start();
    Task<> stop();

    /// Starts an engine that raises and proves its walls and ends. Needs no model.
    /// Errors: `not_allowed` (a wall is open or refused by this system), `closed`, `timed_out`, those of the start.
    Task<Result<sandbox::Report>> test();

    /// Takes what an engine with a model proved.
    void take(sandbox::Report report);

    /// Of the last engine or test; nothing before the first.
    std::optional<Result<sandbox::Report>> const& last() const { return last_; }

private:
    Task<> test_once();

    Env& env_;
    std::filesystem::path program_;
    std::vector<std::string> forbidden_paths_;
    std::optional<Result<sandbox::Report>> last_;
    TaskScope tasks_;
};

/// The walls by name, "landlock, seccomp".
std::string names_of(std::vector<sandbox::Layer> const& layers);

}  // namespace plexus::node
