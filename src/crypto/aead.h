#pragma once

#include <memory>

#include "crypto/keys.h"

namespace plexus::crypto {

/// ChaCha20-Poly1305 (RFC 8439) with one key. Encrypts and decrypts in place.
class AeadKey {
public:
    static constexpr std::size_t tag_size = 16;

    explicit AeadKey(Secret32 const& key);
    ~AeadKey();
    AeadKey(AeadKey&&) noexcept;
    AeadKey& operator=(AeadKey&&) noexcept;

    /// Turns `data` into ciphertext and fills `tag` (tag_size bytes). `counter` becomes the last 8 nonce bytes,
    /// little-endian, as Noise wants it; never use one twice.
    void seal(std::uint64_t counter, ByteView associated, MutableByteView data, MutableByteView tag);

    /// Turns ciphertext `data` back. False if the tag does not fit; `data` is then garbage.
    [[nodiscard]] bool open(std::uint64_t counter, ByteView associated, MutableByteView data, ByteView tag);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::crypto
