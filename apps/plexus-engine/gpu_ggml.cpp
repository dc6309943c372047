// Devices as llama.cpp lists them: for backends whose devices are GPUs all, and for builds without one.

#include <algorithm>

#include "ggml-backend.h"
#include "gpu.h"

namespace plexus::engine {

using stream::ComputeDevice;
using stream::DeviceKind;

namespace {

/// In llama.cpp's order.
std::vector<ComputeDevice> listed()
{
    auto found = std::vector<ComputeDevice>{};
    for (auto index = std::size_t{0}; index < ggml_backend_dev_count(); ++index) {
        auto* const device = ggml_backend_dev_get(index);
        auto const type = ggml_backend_dev_type(device);
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            auto free = std::size_t{0};
            auto total = std::size_t{0};
            ggml_backend_dev_memory(device, &free, &total);
            found.push_back(
                {.name = ggml_backend_dev_description(device),
                 .kind = type == GGML_BACKEND_DEVICE_TYPE_GPU ? DeviceKind::discrete : DeviceKind::integrated,
                 .memory_bytes = total});
        }
    }
    return found;
}

}  // namespace

stream::ComputeDevices find_devices()
{
    return {.backend = PLEXUS_GPU_BACKEND, .problem = {}, .devices = listed()};
}

Result<ComputeDevice> use_device(std::string const& name)
{
    auto const devices = listed();
    auto const found = std::ranges::find(devices, name, &ComputeDevice::name);
    return found == devices.end()
               ? Result<ComputeDevice>(fail(ErrorKind::not_found, "there is no GPU of the name {}", name))
               : *found;
}

void use_processor() {}

}  // namespace plexus::engine
