#include "host/connection_table.h"

#include <algorithm>

namespace plexus::host {

ConnectionTable::ConnectionTable(Env& env, Limits const& limits)
    : env_(env), limits_(limits), scope_(std::make_shared<Scope>(limits.streams, limits.memory_bytes))
{
}

Result<void> ConnectionTable::check_room(PeerId const& peer, Direction direction, Admission admission) const
{
    auto const count = [this](auto matches) {
        return static_cast<std::size_t>(
            std::ranges::count_if(connections_, [&](auto const& entry) { return matches(*entry.second); }));
    };
    auto const is_theirs = [&](Connection const& each) { return each.peer() == peer; };
    auto const is_stranger = [](Connection const& each) { return each.admission() == Admission::pairing; };
    auto const is_one_more = admission == Admission::pairing && direction == Direction::inbound;
    if (is_full() || count(is_theirs) >= limits_.connections_per_peer ||
        (is_one_more && count(is_stranger) >= limits_.strangers)) {
        return fail(ErrorKind::unavailable, "too many connections");
    }
    return {};
}

ConnectionHandle ConnectionTable::add(Secured secured, Admission admission)
{
    auto const use = secured.use;
    auto scope = scope_of(secured.session.peer);
    auto connection = std::make_shared<Connection>(env_, ++last_id_, std::move(secured), admission, limits_,
                                                   std::move(scope));
    connection->use = use;
    connections_.emplace(connection->id(), connection);
    return connection;
}

void ConnectionTable::remove(Connection const& connection)
{
    connections_.erase(connection.id());
}

ConnectionHandle ConnectionTable::best(PeerId const& peer, ConnectionUse use) const
{
    auto best = ConnectionHandle{};
    for (auto const& [id, connection] : connections_) {
        if (connection->peer() == peer && connection->use == use && !connection->is_ending() &&
            (!best || connection->streams() > best->streams())) {
            best = connection;
        }
    }
    return best;
}

bool ConnectionTable::has_member(PeerId const& peer) const
{
    return std::ranges::any_of(connections_, [&](auto const& entry) {
        auto const& each = *entry.second;
        return each.peer() == peer && each.admission() == Admission::member && each.use == ConnectionUse::main &&
               !each.closed();
    });
}

std::vector<ConnectionInfo> ConnectionTable::infos() const
{
    auto found = std::vector<ConnectionInfo>{};
    for (auto const& [id, connection] : connections_) {
        found.push_back({.id = id,
                         .peer = connection->peer(),
                         .direction = connection->direction(),
                         .admission = connection->admission(),
                         .remote_address = connection->remote_address(),
                         .round_trip = connection->round_trip(),
                         .agent = connection->agent,
                         .streams = connection->streams(),
                         .use = connection->use});
    }
    return found;
}

std::shared_ptr<Scope> ConnectionTable::scope_of(PeerId const& peer) const
{
    for (auto const& [id, connection] : connections_) {
        if (connection->peer() == peer) {
            return connection->scope();
        }
    }
    return std::make_shared<Scope>(limits_.streams_per_peer, limits_.memory_bytes_per_peer, scope_);
}

}  // namespace plexus::host
