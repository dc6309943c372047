#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace plexus::stream {

/// What a device that computes beside the processor is built of.
enum class DeviceKind {
    discrete,    ///< a card with memory of its own
    integrated,  ///< in one chip with the processor; shares the main memory
    unknown,     ///< of a virtual machine, or of another kind
    software,    ///< a driver that computes on the processor: slower than doing so directly
};

struct ComputeDevice {
    std::string name{};  ///< as its driver tells; 1 to 128 bytes of printable ASCII
    DeviceKind kind = DeviceKind::unknown;
    std::uint64_t memory_bytes = 0;

    bool has_own_memory() const { return kind == DeviceKind::discrete; }
    bool operator==(ComputeDevice const&) const = default;
};

/// What an engine finds on this device. Sent to the daemon as lines `word value`.
struct ComputeDevices {
    std::string backend{};  ///< that was built in: "none", "vulkan", "cuda", "rocm", "metal"
    std::string problem{};  ///< why it cannot be used; empty if it can
    std::vector<ComputeDevice> devices{};

    ComputeDevice const* find(std::string_view name) const;
    bool operator==(ComputeDevices const&) const = default;
};

inline constexpr std::size_t max_compute_devices = 16;
inline constexpr std::size_t max_compute_devices_bytes = 8192;

std::string_view to_string(DeviceKind kind);

/// What is over a limit is left out, what is not printable too.
std::string to_text(ComputeDevices const& found);

/// Errors: `malformed` (another form, a text that is not printable ASCII or too long), `too_large`.
Result<ComputeDevices> parse_compute_devices(std::string_view text);

}  // namespace plexus::stream
