#pragma once

#include <optional>

#include "base/env.h"
#include "sandbox/layers.h"

namespace plexus::sandbox {

/// Starts engine processes behind the outer walls: own namespaces, no foreign descriptors, limits, parent death.
/// The program itself raises the inner ones (confine.h) before it reads a byte of the model.
///
/// The program gets as arguments: `--outside NAME:INODE` for each of the daemon's namespaces, which it must not be in,
/// `--memory BYTES` if that is limited, `--forbid PATH…` (what its probe must fail to open), then those of the options.
class Launcher final : public Processes {
public:
    /// False under sanitizers, whose shadow memory passes any limit.
    static bool const can_limit_memory;

    explicit Launcher(asio::io_context& context) : context_(context) {}

    /// For tests: leaves this wall out. The program must then refuse to work.
    void leave_out(std::optional<Layer> layer) { left_out_ = layer; }

    Result<std::unique_ptr<Process>> start(ProcessOptions options) override;

private:
    asio::io_context& context_;
    std::optional<Layer> left_out_;
};

}  // namespace plexus::sandbox
