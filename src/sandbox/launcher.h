#pragma once

#include <memory>
#include <optional>

#include "base/env.h"
#include "sandbox/group.h"
#include "sandbox/layers.h"

namespace plexus::sandbox {

inline constexpr std::uint64_t descriptor_limit = 64;  ///< RLIMIT_NOFILE of an engine
inline constexpr std::uint64_t thread_limit = 4096;  ///< RLIMIT_NPROC; older kernels count all processes of the user

/// Starts engine processes behind the outer walls: own namespaces, a control group where there can be one, no foreign
/// descriptors, limits, parent death. The program itself raises the inner ones (confine.h) before it reads a frame.
///
/// The program gets as arguments: `--outside NAME:INODE` for each of the daemon's namespaces, which it must not be in;
/// `--daemon PROCESS`; `--user USER:GROUP`, its own as the daemon sees them; `--memory BYTES` if that is limited;
/// `--group FOLDER` of its control group; `--weak yes` if the owner allows that walls are missing; `--forbid PATH…`,
/// what its probe must fail to open; then those of the options.
class Launcher final : public Processes {
public:
    /// False under sanitizers, whose shadow memory passes any limit.
    static bool const can_limit_memory;

    explicit Launcher(asio::io_context& context) : context_(context) {}

    /// Engines may run without the walls that this system refuses.
    void allow_weak_walls(bool allowed) { allows_weak_ = allowed; }

    /// Puts engines into control groups of their own below `groups`.
    void use_groups(EngineGroups groups) { groups_.emplace(std::move(groups)); }

    /// For tests: leaves this wall out. The program must then refuse to work.
    void leave_out(std::optional<Layer> layer) { left_out_ = layer; }

    /// Errors: `not_allowed` (the system refuses namespaces, and weak walls are not allowed), `io`.
    Result<std::unique_ptr<Process>> start(ProcessOptions options) override;

private:
    std::uint64_t wanted_namespaces() const;
    Result<std::optional<EngineGroup>> make_group(ProcessOptions const& options);
    std::vector<std::string> arguments_of(ProcessOptions const& options, EngineGroup const* group) const;

    asio::io_context& context_;
    std::optional<EngineGroups> groups_;
    bool allows_weak_ = false;
    std::optional<Layer> left_out_;
};

}  // namespace plexus::sandbox
