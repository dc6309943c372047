#pragma once

#include <optional>

#include "host/host.h"

namespace plexus::host {

/// The smallest measured round trip of the connections to `peer`; nothing before the first.
std::optional<Duration> round_trip_to(Host const& host, PeerId const& peer);

}  // namespace plexus::host
