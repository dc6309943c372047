#pragma once

#include <functional>
#include <optional>

#include "base/env.h"
#include "base/task.h"
#include "sandbox/report.h"

namespace plexus::node {

/// What stands around the engines of this device.
class EngineSandbox {
public:
    /// `program` is plexus-engine; `forbidden_paths` what its probe must fail to open; `gpu` names the device that engines
    /// use, empty for none. `env` must outlive this.
    EngineSandbox(Env& env, std::filesystem::path program, std::vector<std::string> forbidden_paths,
                  std::function<Task<std::string>()> gpu);

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
    std::function<Task<std::string>()> gpu_;
    std::optional<Result<sandbox::Report>> last_;
    TaskScope tasks_;
};

/// Walls or doors by name, "landlock, seccomp".
template <typename Named>
std::string names_of(std::vector<Named> const& list)
{
    auto text = std::string{};
    for (auto const each : list) {
        text += fmt::format("{}{}", text.empty() ? "" : ", ", to_string(each));
    }
    return text;
}

}  // namespace plexus::node
