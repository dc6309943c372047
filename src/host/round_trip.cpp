#include "host/round_trip.h"

namespace plexus::host {

std::optional<Duration> round_trip_to(Host const& host, PeerId const& peer)
{
    auto best = std::optional<Duration>{};
    for (auto const& connection : host.connections()) {
        if (connection.peer == peer && connection.round_trip > Duration::zero()) {
            best = std::min(best.value_or(connection.round_trip), connection.round_trip);
        }
    }
    return best;
}

}  // namespace plexus::host
