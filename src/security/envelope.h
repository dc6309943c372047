#pragma once

#include "crypto/keys.h"
#include "multiformats/multiaddr.h"
#include "multiformats/peer_id.h"

namespace plexus::security {

/// What an envelope is for. Both parts are signed; the domain does not travel.
struct EnvelopeUse {
    std::string_view domain;
    std::array<std::byte, 2> payload_type;
};

inline constexpr auto peer_record_use = EnvelopeUse{"libp2p-peer-record", {std::byte{0x03}, std::byte{0x01}}};
inline constexpr auto relay_voucher_use = EnvelopeUse{"libp2p-relay-rsvp", {std::byte{0x03}, std::byte{0x02}}};

inline constexpr std::size_t max_envelope_bytes = 8 * 1024;
inline constexpr std::size_t max_record_addresses = 256;

/// A payload with the key that signed it. Spec: libp2p/specs RFC/0002-signed-envelopes.md; libp2p-wire.md section 3.
struct Envelope {
    crypto::PublicKey signer;
    Bytes payload;
};

Bytes seal_envelope(crypto::KeyPair const& identity, EnvelopeUse const& use, ByteView payload);

/// Errors: `malformed`, `too_large`, and `not_allowed` for a bad signature.
Result<Envelope> open_envelope(ByteView bytes, EnvelopeUse const& use);

/// The addresses a peer vouches for. Spec: libp2p/specs RFC/0003-routing-records.md.
struct PeerRecord {
    multiformats::PeerId peer;
    std::uint64_t sequence = 0;  ///< of two records of one peer the higher one counts
    std::vector<multiformats::Multiaddr> addresses;
};

Bytes seal_peer_record(crypto::KeyPair const& identity, PeerRecord const& record);

/// Addresses of kinds unknown here are left out. Errors: as open_envelope; `not_allowed` if a peer signs for another.
Result<PeerRecord> open_peer_record(ByteView envelope);

}  // namespace plexus::security
