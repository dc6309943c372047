#pragma once

#include <optional>

#include "base/env.h"
#include "multiformats/peer_id.h"

namespace plexus::multiformats {

/// A self-describing network address such as "/ip4/192.0.2.1/tcp/4001". A value, always valid, held in binary form.
/// Spec: libp2p/specs addressing/README.md and the code table of libp2p-wire.md section 2.
class Multiaddr {
public:
    static constexpr std::size_t max_bytes = 1024;
    static constexpr std::size_t max_components = 32;

    /// Codes of the components that this project acts on.
    enum Code : std::uint64_t { ip4 = 4, tcp = 6, ip6 = 41, dns = 53, dns4 = 54, dns6 = 55, udp = 273, p2p_circuit = 290, p2p = 421 };

    struct Component {
        std::uint64_t code = 0;
        ByteView value;  ///< without its length; borrowed from the address
    };

    Multiaddr() = default;

    /// Errors: `malformed` (empty, unknown code, cut off, broken value), `too_large`. Names are printable ASCII.
    static Result<Multiaddr> from_bytes(ByteView bytes);
    /// Errors: as from_bytes.
    static Result<Multiaddr> from_text(std::string_view text);
    /// "/ip4/…/tcp/…" or "/ip6/…/tcp/…".
    static Multiaddr from_tcp(Endpoint const& endpoint);

    ByteView bytes() const { return bytes_; }
    bool empty() const { return bytes_.empty(); }
    std::string text() const;
    std::vector<Component> components() const;

    /// The endpoint if the address is exactly IP and TCP, with or without a peer id behind.
    std::optional<Endpoint> tcp_endpoint() const;
    /// The peer if /p2p is the last component.
    std::optional<PeerId> peer() const;
    /// With `peer` as last component, in place of one that is there.
    Multiaddr with_peer(PeerId const& peer) const;
    Multiaddr without_peer() const;

    std::strong_ordering operator<=>(Multiaddr const&) const;
    bool operator==(Multiaddr const&) const = default;

private:
    explicit Multiaddr(Bytes bytes) : bytes_(std::move(bytes)) {}

    Bytes bytes_;
};

}  // namespace plexus::multiformats
