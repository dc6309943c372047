#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace plexus::sandbox {

/// The walls around an engine, in the order they are raised. Each is proven by a probe before any model byte is read.
enum class Layer {
    descriptors,        ///< only the channel and the model are open
    namespaces,         ///< own user, network, pid, ipc and uts namespaces (namespace_names)
    no_new_privileges,
    parent_death,       ///< killed when the daemon dies
    limits,             ///< no core, no file growth, few descriptors, bounded memory
    landlock,           ///< no file but the model, no TCP, no signals or abstract sockets outwards
    seccomp,            ///< only the system calls that computing needs
};

inline constexpr auto layer_names = std::array<std::pair<Layer, std::string_view>, 7>{{
    {Layer::descriptors, "descriptors"},
    {Layer::namespaces, "namespaces"},
    {Layer::no_new_privileges, "no-new-privileges"},
    {Layer::parent_death, "parent-death"},
    {Layer::limits, "limits"},
    {Layer::landlock, "landlock"},
    {Layer::seccomp, "seccomp"},
}};

/// As they are called in /proc/PID/ns.
inline constexpr auto namespace_names = std::array<std::string_view, 5>{"user", "net", "pid", "ipc", "uts"};

constexpr std::string_view to_string(Layer layer)
{
    for (auto const& [value, name] : layer_names) {
        if (value == layer) {
            return name;
        }
    }
    return {};
}

constexpr std::optional<Layer> layer_from(std::string_view name)
{
    for (auto const& [value, known] : layer_names) {
        if (known == name) {
            return value;
        }
    }
    return std::nullopt;
}

}  // namespace plexus::sandbox
