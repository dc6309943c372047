#pragma once

#include <array>

#include "crypto/secret.h"

namespace plexus::crypto {

/// Kinds of libp2p public keys. Spec: libp2p/specs peer-ids/peer-ids.md.
enum class KeyType : std::uint8_t { rsa = 0, ed25519 = 1, secp256k1 = 2, ecdsa = 3 };

/// A public key of any libp2p kind, for checking signatures. Always one that can be used.
class PublicKey {
public:
    /// RSA keys outside these sizes are refused before any computation (CVE-2023-39533).
    static constexpr int min_rsa_bits = 2048;
    static constexpr int max_rsa_bits = 8192;
    static constexpr std::size_t max_bytes = 2048;

    /// From the protobuf PublicKey{Type, Data} in its canonical form. ECDSA keys are on P-256, P-384 or P-521.
    /// Errors: `malformed`, `too_large`.
    static Result<PublicKey> decode(ByteView serialised);
    /// Any 32 bytes; a weak or impossible point verifies nothing.
    static PublicKey ed25519(std::span<std::byte const, 32> raw);

    /// The canonical protobuf.
    Bytes encode() const;
    KeyType type() const { return type_; }
    ByteView data() const { return data_; }

    /// True if `signature` is this key's over `message`. Any malformed signature is false.
    bool verify(ByteView message, ByteView signature) const;

    bool operator==(PublicKey const&) const = default;

private:
    PublicKey(KeyType type, Bytes data) : type_(type), data_(std::move(data)) {}

    KeyType type_;
    Bytes data_;
};

/// An Ed25519 signing key.
class KeyPair {
public:
    static constexpr std::size_t signature_size = 64;

    /// From the 32-byte seed, which comes from Env randomness or from the key file.
    explicit KeyPair(Secret32 seed);

    PublicKey public_key() const { return PublicKey::ed25519(public_); }
    Secret32 const& seed() const { return seed_; }
    /// RFC 8032 pure Ed25519, 64 bytes.
    Bytes sign(ByteView message) const;

private:
    Secret32 seed_;
    std::array<std::byte, 32> public_{};
};

/// An X25519 key for one handshake or process.
class ExchangeKey {
public:
    explicit ExchangeKey(Secret32 secret);

    ByteView public_key() const { return public_; }
    /// Errors: `malformed` if the result is all zero (a point of small order).
    Result<Secret32> shared_secret(std::span<std::byte const, 32> other_public) const;

private:
    Secret32 secret_;
    std::array<std::byte, 32> public_{};
};

}  // namespace plexus::crypto
