// Stands before <vulkan/vulkan.hpp> while llama.cpp's Vulkan backend is compiled (tools/build-llama).
//
// That backend names the types of VK_EXT_layer_settings, with which it would set up validation layers that we never ask
// for. Headers before 1.3.272, such as those of Debian 12, do not have them. Layout of the Vulkan specification.
#pragma once

#include_next <vulkan/vulkan.hpp>

#ifndef VK_EXT_layer_settings

#include <cstdint>
#include <vector>

namespace vk {

enum class LayerSettingTypeEXT : std::uint32_t { eBool32 = 0 };

struct LayerSettingEXT {
    char const* layer;
    char const* setting;
    LayerSettingTypeEXT type;
    std::uint32_t value_count;
    void const* values;
};

/// Names no settings, whatever it is given: a loader of that age would not look at them.
struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(std::vector<LayerSettingEXT> const&) {}
    VkStructureType type = static_cast<VkStructureType>(1000496000);
    void const* next = nullptr;
    std::uint32_t setting_count = 0;
    LayerSettingEXT const* settings = nullptr;
};

}  // namespace vk

#endif
