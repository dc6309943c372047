#pragma once

#include <compare>

#include "base/bytes.h"

namespace plexus::multiformats {

/// The identity of a libp2p node: the multihash of its public key. A value; ordered; an empty one names nobody.
/// Spec: libp2p/specs peer-ids/peer-ids.md.
class PeerId {
public:
    PeerId() = default;

    /// Keys of up to 42 bytes are held whole in the id (Ed25519, secp256k1).
    static constexpr std::size_t max_inline_key = 42;

    /// From the serialised PublicKey of at most max_inline_key bytes, in canonical form. Errors: `malformed`.
    static Result<PeerId> from_public_key(ByteView serialised_key);
    /// From the SHA-256 digest (32 bytes) of a longer serialised PublicKey.
    static PeerId from_key_digest(ByteView digest);
    /// From the binary multihash, nothing behind it. Errors: `malformed`.
    static Result<PeerId> from_bytes(ByteView multihash);
    /// From base58 ("12D3Koo…", "Qm…") or CID text ("bafz…", "k51…"). Errors: `malformed`.
    static Result<PeerId> from_text(std::string_view text);

    ByteView bytes() const { return multihash_; }
    bool empty() const { return multihash_.empty(); }
    std::string text() const;
    /// The last six characters of the text, for logs.
    std::string short_text() const;
    /// The serialised PublicKey if the id holds it, else empty.
    ByteView inline_public_key() const;

    std::strong_ordering operator<=>(PeerId const&) const;
    bool operator==(PeerId const&) const = default;

private:
    explicit PeerId(Bytes multihash) : multihash_(std::move(multihash)) {}

    Bytes multihash_;
};

}  // namespace plexus::multiformats
