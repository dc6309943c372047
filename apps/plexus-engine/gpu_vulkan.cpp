// Devices by Vulkan's own list: llama.cpp does not tell which of them is a driver that computes on the processor, and
// shows such a one only when told its number.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>

#include <vulkan/vulkan.h>

#include "ggml-backend.h"
#include "gpu.h"

namespace plexus::engine {

using stream::ComputeDevice;
using stream::DeviceKind;

namespace {

constexpr std::uint32_t most_devices = 64;

/// Vulkan, from the loading of its drivers to their end.
class Instance {
public:
    Instance()
    {
        auto application = VkApplicationInfo{};
        application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
        application.apiVersion = VK_API_VERSION_1_2;
        auto wanted = VkInstanceCreateInfo{};
        wanted.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
        wanted.pApplicationInfo = &application;
        result_ = ::vkCreateInstance(&wanted, nullptr, &instance_);
    }
    Instance(Instance const&) = delete;
    Instance& operator=(Instance const&) = delete;
    ~Instance()
    {
        if (result_ == VK_SUCCESS) {
            ::vkDestroyInstance(instance_, nullptr);
        }
    }

    /// In Vulkan's order. Errors: `unavailable`.
    Result<std::vector<ComputeDevice>> devices() const
    {
        if (result_ == VK_ERROR_INCOMPATIBLE_DRIVER) {
            return fail(ErrorKind::unavailable, "no Vulkan driver is installed (Debian: mesa-vulkan-drivers)");
        }
        auto handles = std::array<VkPhysicalDevice, most_devices>{};
        auto count = most_devices;
        auto const listed = result_ == VK_SUCCESS ? ::vkEnumeratePhysicalDevices(instance_, &count, handles.data())
                                                  : result_;
        if (listed != VK_SUCCESS && listed != VK_INCOMPLETE) {
            return fail(ErrorKind::unavailable, "Vulkan failed with {}", static_cast<int>(listed));
        }
        auto found = std::vector<ComputeDevice>{};
        for (auto const handle : std::span(handles).first(count)) {
            found.push_back(describe(handle));
        }
        return found;
    }

private:
    static DeviceKind kind_of(VkPhysicalDeviceType type)
    {
        switch (type) {
        case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return DeviceKind::discrete;
        case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return DeviceKind::integrated;
        case VK_PHYSICAL_DEVICE_TYPE_CPU: return DeviceKind::software;
        default: return DeviceKind::unknown;
        }
    }

    static ComputeDevice describe(VkPhysicalDevice handle)
    {
        auto properties = VkPhysicalDeviceProperties{};
        ::vkGetPhysicalDeviceProperties(handle, &properties);
        auto memory = VkPhysicalDeviceMemoryProperties{};
        ::vkGetPhysicalDeviceMemoryProperties(handle, &memory);
        auto device = ComputeDevice{.name = properties.deviceName, .kind = kind_of(properties.deviceType)};
        for (auto const& heap : std::span(memory.memoryHeaps).first(memory.memoryHeapCount)) {
            device.memory_bytes += (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0 ? heap.size : 0;
        }
        return device;
    }

    VkInstance instance_ = nullptr;
    VkResult result_ = VK_SUCCESS;
};

/// Drivers would keep compiled shaders in files, and threads for that.
void keep_no_files()
{
    ::setenv("MESA_SHADER_CACHE_DISABLE", "true", 1);
}

}  // namespace

stream::ComputeDevices find_devices()
{
    keep_no_files();
    auto devices = Instance().devices();
    return {.backend = PLEXUS_GPU_BACKEND,
            .problem = devices ? "" : devices.error().text,
            .devices = devices ? std::move(*devices) : std::vector<ComputeDevice>{}};
}

Result<ComputeDevice> use_device(std::string const& name)
{
    keep_no_files();
    auto const instance = Instance();  // stays until llama.cpp has one too, so that drivers are loaded once
    auto const devices = instance.devices();
    if (!devices) {
        return std::unexpected(devices.error());
    }
    auto const found = std::ranges::find(*devices, name, &ComputeDevice::name);
    if (found == devices->end()) {
        return fail(ErrorKind::not_found, "there is no GPU of the name {}", name);
    }
    ::setenv("GGML_VK_VISIBLE_DEVICES", std::to_string(found - devices->begin()).c_str(), 1);
    if (ggml_backend_dev_by_type(found->kind == DeviceKind::integrated ? GGML_BACKEND_DEVICE_TYPE_IGPU
                                                                       : GGML_BACKEND_DEVICE_TYPE_GPU) == nullptr) {
        return fail(ErrorKind::unavailable, "llama.cpp cannot use the GPU {}", name);
    }
    return *found;
}

void use_processor()
{
    ::setenv("GGML_DISABLE_VULKAN", "1", 1);
}

}  // namespace plexus::engine
