#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "host/upgrade.h"

namespace plexus::host {

/// Takes connections from outside: accepts sockets, bounds the handshakes that strangers can have under way, and gives
/// away what is secured.
class Listener {
public:
    /// What is borrowed must outlive the listener; `tasks` runs the handshakes. While there is no `has_room`, what knocks
    /// is dropped unanswered.
    Listener(Env& env, crypto::KeyPair const& identity, Gater& gater, Limits const& limits, TaskScope& tasks,
             TakeSecured take, std::function<bool()> has_room);

    /// As Host::listen.
    Result<Multiaddr> listen(Multiaddr const& address);
    /// As Host::listen_addresses.
    std::vector<Multiaddr> addresses() const;
    /// Accepts no more. Handshakes go on.
    void close();

private:
    struct Pending;

    Task<> accept_loop(Acceptor& acceptor);
    bool has_room_for(Endpoint const& from);
    Task<> take_inbound(std::unique_ptr<Socket> socket);

    Env& env_;
    crypto::KeyPair const& identity_;
    Gater& gater_;
    Limits const& limits_;
    TaskScope& tasks_;
    TakeSecured take_;
    std::function<bool()> has_room_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::map<asio::ip::address, std::size_t> handshakes_;  // by source_of()
    std::size_t handshake_count_ = 0;
};

}  // namespace plexus::host
