#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/env.h"
#include "discovery/mdns.h"

namespace plexus::discovery {

inline constexpr std::size_t max_links = 32;       ///< interface and IP version
inline constexpr std::size_t max_neighbours = 256;
inline constexpr unsigned max_datagrams_a_second = 200;  ///< read of one link; more are dropped unread

/// Somebody on a link of ours, as multicast says.
struct Neighbour {
    PeerId peer;
    std::vector<Multiaddr> addresses{};
    Time expires{};
};

struct Options {
    /// Where this device listens now, over all interfaces.
    std::function<std::vector<Multiaddr>()> addresses;
    /// Called on the loop when a peer appears or has other addresses.
    std::function<void(Neighbour const&)> found{};
    /// Called on the loop after interfaces or their addresses have changed.
    std::function<void()> network_changed{};
};

/// Finds libp2p peers on the links of this device and lets itself be found, by mDNS on each interface and IP version.
///
/// On a link only the addresses of that interface are told, so that one of a virtual network leads nobody astray.
class Discovery {
public:
    /// `env` must outlive this.
    Discovery(Env& env, PeerId self, Options options);
    ~Discovery();

    /// Once.
    void start();
    /// Looks at interfaces and own addresses again, now.
    void refresh() { refresh_.notify(); }

    /// Asks on every link who is there, now.
    void ask_again();

    /// By peer.
    std::vector<Neighbour> neighbours() const;
    /// Whether another device on a link says that it is this one, lately: it has a copy of the key, or lies.
    bool is_copied() const;

    /// Says farewell and joins all tasks. Must be awaited before destruction.
    Task<> stop();

private:
    struct Link;

    Task<> look_at_interfaces();
    Task<> watch();
    void update_links();
    void join(InterfaceAddress const& at);
    void leave(std::shared_ptr<Link> const& link);
    Task<> listen(std::shared_ptr<Link> link);
    Task<> speak(std::shared_ptr<Link> link);
    void take(Link& link, ByteView datagram);
    void take(Sighting sighting);

    Env& env_;
    PeerId self_;
    Options options_;
    std::string label_;
    std::optional<std::vector<InterfaceAddress>> interfaces_;  // when last looked at
    std::vector<std::shared_ptr<Link>> links_;
    std::map<PeerId, Neighbour> neighbours_;
    std::optional<Time> copied_at_;
    Signal refresh_;
    TaskScope tasks_;
};

}  // namespace plexus::discovery
