#pragma once

#include "membership/log.h"
#include "multiformats/multiaddr.h"

namespace plexus::membership {

using multiformats::Multiaddr;

inline constexpr std::size_t max_addresses_per_device = 8;
inline constexpr std::size_t max_hints = 256;
inline constexpr std::size_t max_sync_bytes = max_log_bytes + 256 * 1024;
inline constexpr std::size_t max_pairing_bytes = max_sync_bytes;
inline constexpr std::size_t max_first_pairing_bytes = 1024;  ///< before the secret is proven
inline constexpr std::size_t nonce_bytes = 32;
inline constexpr std::size_t invite_id_bytes = 8;

/// Where a device was reached. Not signed: whoever answers there must still prove its key.
struct AddressHint {
    PeerId device;
    std::vector<Multiaddr> addresses;
};

/// The only message of /plexus/membership/1. Spec: docs/protocols/membership.md.
struct SyncMessage {
    std::optional<EntryId> mesh;
    std::vector<EntryId> heads;
    std::vector<Bytes> entries;  ///< parents first
    std::vector<AddressHint> hints;
};

Bytes encode(SyncMessage const& message);
/// Addresses of kinds unknown here are left out. Errors: `malformed`, `too_large`.
Result<SyncMessage> decode_sync(ByteView bytes);

/// Why a device was not let in.
enum class PairingRefusal : std::uint8_t {
    unknown_invite = 1,  ///< withdrawn, or of another device
    expired = 2,
    used = 3,
    wrong_secret = 4,
    failed = 5,  ///< the log could not take the device
};

/// A message of /plexus/pair/1; which fields are filled follows from the kind. Spec: docs/protocols/pair.md.
struct PairingMessage {
    enum class Kind : std::uint8_t { hello = 1, challenge = 2, proof = 3, accepted = 4, refused = 5, done = 6 };
    Kind kind = Kind::hello;
    Bytes invite_id;                                           ///< hello
    std::string name;                                          ///< hello: of the joiner
    Bytes nonce;                                               ///< hello, challenge
    Bytes proof;                                               ///< proof, accepted
    SyncMessage mesh;                                          ///< accepted
    PairingRefusal refusal = PairingRefusal::unknown_invite;   ///< refused

    PairingMessage() = default;
    explicit PairingMessage(Kind of) : kind(of) {}
};

Bytes encode(PairingMessage const& message);
/// Errors: `malformed`, `too_large`.
Result<PairingMessage> decode_pairing(ByteView bytes);

}  // namespace plexus::membership
