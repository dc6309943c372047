#pragma once

#include <compare>
#include <memory>

#include "crypto/secret.h"

namespace plexus::crypto {

/// A SHA-256 value. Past the parser a digest is never text, so it cannot become part of a path by accident.
class Digest32 {
public:
    static constexpr std::size_t size = 32;

    Digest32() = default;
    /// Errors: `malformed` unless 32 bytes.
    static Result<Digest32> from_bytes(ByteView bytes);
    /// Errors: `malformed` unless 64 hexadecimal digits.
    static Result<Digest32> from_text(std::string_view text);

    ByteView bytes() const { return value_; }
    std::string text() const { return to_hex(value_); }

    auto operator<=>(Digest32 const&) const = default;

private:
    std::array<std::byte, size> value_{};
};

Digest32 sha256(ByteView bytes);

/// SHA-256 of what comes in parts.
class Sha256 {
public:
    static constexpr std::size_t block_bytes = 64;

    Sha256();
    /// Goes on after `hashed_bytes`, a multiple of block_bytes, that left `state`.
    Sha256(Digest32 const& state, std::uint64_t hashed_bytes);
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    void update(ByteView bytes);
    /// The chaining value after a multiple of block_bytes, as FIPS 180-4 section 6.2.2 has it: big-endian.
    Digest32 state() const;
    /// The digest of all parts; the object is spent.
    Digest32 finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

Digest32 hmac_sha256(ByteView key, ByteView message);

/// HKDF-SHA256 (RFC 5869) without info, two outputs: what Noise derives its keys with.
std::pair<Secret32, Secret32> hkdf2(ByteView chaining_key, ByteView input);

}  // namespace plexus::crypto
