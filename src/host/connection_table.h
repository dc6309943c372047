#pragma once

#include <map>
#include <memory>
#include <vector>

#include "host/connection.h"

namespace plexus::host {

using ConnectionHandle = std::shared_ptr<Connection>;

/// The connections of a host, and whether there is room for one more.
class ConnectionTable {
public:
    /// Both must outlive the table.
    ConnectionTable(Env& env, Limits const& limits);

    bool is_full() const { return connections_.size() >= limits_.connections; }
    /// Errors: `unavailable` if a connection more to `peer`, admitted so, would be over a limit.
    Result<void> check_room(PeerId const& peer, Direction direction, Admission admission) const;

    /// Shares its scope with the other connections to the peer. Does not ask for room.
    ConnectionHandle add(Secured secured, Admission admission);
    void remove(Connection const& connection);

    /// Of those for that use that take new streams the one that has most, or nothing.
    ConnectionHandle best(PeerId const& peer, ConnectionUse use = ConnectionUse::main) const;
    /// Whether there is one admitted as member, not for bulk.
    bool has_member(PeerId const& peer) const;
    /// By id, the oldest first. Copy it where the loop may change it.
    std::map<std::uint64_t, ConnectionHandle> const& all() const { return connections_; }
    std::vector<ConnectionInfo> infos() const;

private:
    std::shared_ptr<Scope> scope_of(PeerId const& peer) const;

    Env& env_;
    Limits const& limits_;
    std::shared_ptr<Scope> scope_;
    std::map<std::uint64_t, ConnectionHandle> connections_;
    std::uint64_t last_id_ = 0;
};

}  // namespace plexus::host
