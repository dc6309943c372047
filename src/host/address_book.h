#pragma once

#include <map>
#include <vector>

#include "host/host.h"

namespace plexus::host {

inline constexpr std::size_t max_addresses_of_peer = 32;  // remembered, and tried in one dial

/// Where peers were reached or said they can be reached. Bounded; not kept on disk.
class AddressBook {
public:
    /// `addresses`, best first, come before those that are known already; over a limit the last ones are forgotten.
    /// A new peer is not taken in when the book is full.
    void remember(PeerId const& peer, std::vector<Multiaddr> addresses);

    /// Best first, without /p2p.
    std::vector<Multiaddr> of(PeerId const& peer) const;

private:
    std::map<PeerId, std::vector<Multiaddr>> addresses_;
};

}  // namespace plexus::host
