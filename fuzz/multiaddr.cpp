#include "multiformats/multiaddr.h"

using namespace plexus;
using namespace plexus::multiformats;

namespace {

void check(Multiaddr const& address)
{
    PLEXUS_ASSERT(!address.empty() && address.bytes().size() <= Multiaddr::max_bytes);
    PLEXUS_ASSERT(address.components().size() <= Multiaddr::max_components);
    PLEXUS_ASSERT(Multiaddr::from_bytes(address.bytes()).value() == address);
    auto const text = address.text();
    auto const again = Multiaddr::from_text(text);
    PLEXUS_ASSERT(again && again->text() == text);
    auto const endpoint = address.tcp_endpoint();
    PLEXUS_ASSERT(!endpoint || address.without_peer().tcp_endpoint() == endpoint);
    if (auto const peer = address.peer()) {
        PLEXUS_ASSERT(address.without_peer().with_peer(*peer).peer() == peer);
    }
}

}  // namespace

/// The bytes as binary address and as text: what is accepted keeps its meaning in the other form.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    for (auto const& address : {Multiaddr::from_bytes(bytes), Multiaddr::from_text(as_text(bytes))}) {
        if (address) {
            check(*address);
        }
    }
    return 0;
}
