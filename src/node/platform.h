#pragma once

#include <filesystem>

#include "base/result.h"

/// The few things of the operating system that only the daemon's frame needs.
namespace plexus::node {

/// Locks a file for the life of the process, so that one device has one daemon.
class InstanceLock {
public:
    /// Errors: `conflict` while another daemon holds it; `not_allowed`, `out_of_space`, `io`.
    static Result<InstanceLock> take(std::filesystem::path const& file);

    InstanceLock(InstanceLock&& other) noexcept;
    InstanceLock(InstanceLock const&) = delete;
    ~InstanceLock();

private:
    explicit InstanceLock(int descriptor) : descriptor_(descriptor) {}
    int descriptor_;
};

/// Tells the service manager ("READY=1", "STOPPING=1") if there is one. Protocol: sd_notify(3).
void notify_service_manager(std::string const& message);

std::string host_name();
unsigned core_count();

/// The folder of the running program.
std::filesystem::path program_folder();

/// Allows as many open files as the system lets this process have: each API connection and each task elsewhere is one.
void raise_descriptor_limit();

/// Gives freed memory back to the system.
void trim_memory();

}  // namespace plexus::node
