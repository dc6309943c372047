#include "host/address_book.h"

#include <algorithm>

namespace plexus::host {

namespace {

constexpr std::size_t max_peers = 1024;

}  // namespace

void AddressBook::remember(PeerId const& peer, std::vector<Multiaddr> addresses)
{
    if (addresses.empty() || (!addresses_.contains(peer) && addresses_.size() >= max_peers)) {
        return;
    }
    auto& known = addresses_[peer];
    addresses.insert(addresses.end(), known.begin(), known.end());
    known.clear();
    for (auto const& address : addresses) {
        auto plain = address.without_peer();
        if (known.size() < max_addresses_of_peer && std::ranges::find(known, plain) == known.end()) {
            known.push_back(std::move(plain));
        }
    }
}

std::vector<Multiaddr> AddressBook::of(PeerId const& peer) const
{
    auto const found = addresses_.find(peer);
    return found == addresses_.end() ? std::vector<Multiaddr>{} : found->second;
}

}  // namespace plexus::host
