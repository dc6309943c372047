#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace plexus::sandbox {

/// The walls around an engine, in the order in which they are raised. Each is proven by probes of its own before the
/// next one is raised, and all before any byte of a model is read.
enum class Layer {
    // By the launcher, before the program starts.
    descriptors,        ///< only the channel and the model are open
    user_namespace,
    mount_namespace,
    process_namespace,
    network_namespace,
    ipc_namespace,
    name_namespace,     ///< of the host's name
    group_namespace,    ///< of control groups
    group,              ///< a control group with limits, where the daemon may make one
    no_new_privileges,
    parent_death,       ///< killed when the daemon dies
    limits,             ///< no core, no file growth, few descriptors and threads, bounded memory
    // By the program itself, before it reads its first frame.
    root,               ///< an empty, read-only root folder that holds nothing but the model
    capabilities,       ///< none, not even in the own namespaces
    undumpable,         ///< no trace, no core, nothing of it to see in /proc
    landlock,           ///< no file but the model, no TCP, no signals or abstract sockets outwards
    seccomp,            ///< only the system calls that computing needs
};

struct LayerName {
    Layer layer;
    std::string_view name;
    /// What the system may refuse, so that the engine is of grade C, which the owner has to allow. A kernel that
    /// refuses another wall runs no engine.
    bool may_be_missing = false;
};

inline constexpr auto layer_names = std::array<LayerName, 17>{{
    {Layer::descriptors, "descriptors"},
    {Layer::user_namespace, "user-namespace", true},
    {Layer::mount_namespace, "mount-namespace", true},
    {Layer::process_namespace, "process-namespace", true},
    {Layer::network_namespace, "network-namespace", true},
    {Layer::ipc_namespace, "ipc-namespace", true},
    {Layer::name_namespace, "name-namespace", true},
    {Layer::group_namespace, "group-namespace", true},
    {Layer::group, "group", true},
    {Layer::no_new_privileges, "no-new-privileges"},
    {Layer::parent_death, "parent-death"},
    {Layer::limits, "limits"},
    {Layer::root, "root", true},
    {Layer::capabilities, "capabilities"},
    {Layer::undumpable, "undumpable"},
    {Layer::landlock, "landlock", true},
    {Layer::seccomp, "seccomp"},
}};

/// What the driver of a GPU needs and a processor does not. An engine opens those that its device needs and no others; the
/// report names them.
enum class Door {
    render_nodes,  ///< /dev/dri/renderD* lie in the root and can be opened, with the control calls (ioctl) of their kind
    new_code,  ///< memory can become code, which cannot be written any more
};

struct DoorName {
    Door door;
    std::string_view name;
};

inline constexpr auto door_names = std::array<DoorName, 2>{{
    {Door::render_nodes, "render-nodes"},
    {Door::new_code, "new-code"},
}};

constexpr std::string_view to_string(Door door)
{
    return door_names[static_cast<std::size_t>(door)].name;
}

constexpr std::optional<Door> door_from(std::string_view name)
{
    for (auto const& known : door_names) {
        if (known.name == name) {
            return known.door;
        }
    }
    return std::nullopt;
}

struct NamespaceName {
    Layer layer;
    std::string_view name;  ///< in /proc/PID/ns
};

inline constexpr auto namespace_names = std::array<NamespaceName, 7>{{
    {Layer::user_namespace, "user"},
    {Layer::mount_namespace, "mnt"},
    {Layer::process_namespace, "pid"},
    {Layer::network_namespace, "net"},
    {Layer::ipc_namespace, "ipc"},
    {Layer::name_namespace, "uts"},
    {Layer::group_namespace, "cgroup"},
}};

constexpr LayerName const& describe(Layer layer)
{
    return layer_names[static_cast<std::size_t>(layer)];
}

constexpr std::string_view to_string(Layer layer)
{
    return describe(layer).name;
}

constexpr std::optional<Layer> layer_from(std::string_view name)
{
    for (auto const& known : layer_names) {
        if (known.name == name) {
            return known.layer;
        }
    }
    return std::nullopt;
}

}  // namespace plexus::sandbox
