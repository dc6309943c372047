#pragma once

#include <functional>
#include <optional>

#include "base/env.h"
#include "base/task.h"
#include "inference/inference.h"
#include "models/memory_estimate.h"
#include "stream/compute_devices.h"

namespace plexus::node {

using stream::ComputeDevice;
using stream::ComputeDevices;

/// What the owner wants (`engine.gpu`, `engine.gpu_layers`).
struct GpuWish {
    std::string device = "auto";              ///< or "none", or the name of a device, or a part of it
    std::optional<std::uint32_t> layers{};    ///< of each model; nothing: all that there is memory for
};

/// The device that the owner means. "auto" is a GPU, a card before others, then the one with more memory; never a driver
/// that computes on the processor, which is slower than the processor alone. Null if there is none.
ComputeDevice const* choose(ComputeDevices const& found, std::string_view wanted);

/// What a driver and the shaders that it has made take of the main memory; seen with Mesa's.
inline constexpr std::uint64_t driver_bytes = 220'000'000;

/// How a model is divided between a GPU and the main memory.
struct GpuShare {
    std::uint32_t layers = 0;  ///< on the GPU; llama.cpp counts the output as one more
    std::uint64_t gpu_bytes = 0;  ///< of the GPU's own memory
    std::uint64_t main_bytes = 0;  ///< of the main memory
};

/// All layers that are wanted and fit, for a model of `layers` that needs `need`, when `taken` bytes of the GPU are in use.
/// A GPU without memory of its own takes what it needs from the main memory.
GpuShare share_of(models::MemoryEstimate const& need, std::uint64_t layers, ComputeDevice const& device,
                  std::optional<std::uint32_t> wanted, std::uint64_t taken);

/// Finds what engines may compute on beside the processor, by starting one that looks.
class EngineGpu {
public:
    /// `program` is plexus-engine. `env` must outlive this.
    EngineGpu(Env& env, std::filesystem::path program, GpuWish wish);

    /// Begins to look, unless the owner wants none; calls `known` once it is done.
    void start(std::function<void()> known);
    Task<> stop();

    /// Waits until it is known what there is; at once if nobody looks.
    Task<> wait();

    /// What models are computed on, once it is known; empty: the processor.
    Task<std::string> name_of_chosen();

    GpuWish const& wish() const { return wish_; }
    ComputeDevices const& found() const { return found_; }
    /// What models are computed on; null: the processor.
    ComputeDevice const* chosen() const { return is_doubted_ ? nullptr : choose(found_, wish_.device); }
    /// Why a device that the owner names, or that was chosen, is not used; empty if none is, or it is used.
    std::string problem() const;

    /// Leaves the device out until it is judged, unless the owner named it. Whether it is left out.
    bool doubt();
    /// Leaves it out for good, for this reason, or no longer.
    void judge(std::optional<Error> const& reason);

private:
    Task<> look();
    Task<Result<ComputeDevices>> ask() const;

    Env& env_;
    std::filesystem::path program_;
    GpuWish wish_;
    ComputeDevices found_;
    bool looking_ = false;
    bool is_doubted_ = false;
    std::string fault_;
    std::function<void()> known_;
    Signal changed_;
    TaskScope tasks_;
};

}  // namespace plexus::node
