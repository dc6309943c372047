#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/keys.h"
#include "multiformats/peer_id.h"
#include "security/noise_frames.h"

namespace plexus::security {

inline constexpr std::string_view noise_protocol = "/noise";

/// A handshake message over this is refused.
inline constexpr std::size_t max_handshake_message = 16 * 1024;
inline constexpr std::size_t max_offered_muxers = 16;

enum class Role { initiator, responder };

/// What a finished handshake has proven and made.
struct SecureSession {
    multiformats::PeerId peer;
    crypto::PublicKey peer_key;
    FrameSealer sealer;
    FrameOpener opener;
    /// Agreed by the early-muxer extension; nothing if the peer does not use it.
    std::optional<std::string> muxer;
    /// The handshake hash: the same on both sides, unlike any other handshake's. Binds proofs to this connection.
    crypto::Digest32 channel_binding;
};

struct NoiseOptions {
    Role role = Role::initiator;
    /// The dialer's expectation; a different proven identity is an error.
    std::optional<multiformats::PeerId> expected_peer{};
    /// Offered in the extension, in order of preference; empty: no extension is sent.
    std::vector<std::string> muxers{};
    /// Fresh randomness; fixed in tests only.
    crypto::Secret32 static_secret{};
    crypto::Secret32 ephemeral_secret{};
};

/// Noise XX with libp2p's payload, without I/O. Spec: libp2p/specs noise/README.md; libp2p-wire.md sections 7 and 9.
///
/// Feed what arrives; send `take_output()`; when `done()`, take the session. After an error it is spent: close the
/// connection.
class NoiseHandshake {
public:
    /// `identity` must outlive the handshake.
    NoiseHandshake(crypto::KeyPair const& identity, NoiseOptions options);

    /// Errors: `malformed`, `too_large`, and `not_allowed` for a wrong identity or a bad proof of it.
    Result<void> push(ByteView received);

    Bytes take_output() { return std::exchange(output_, {}); }
    bool done() const { return session_.has_value(); }
    SecureSession take_session() { return std::move(*session_); }
    /// Bytes behind the last handshake message: encrypted frames already.
    Bytes take_rest() { return std::exchange(pending_, {}); }

private:
    /// The symmetric state of the Noise framework.
    struct Symmetric {
        Symmetric();
        void mix_hash(ByteView data);
        void mix_key(crypto::Secret32 const& input);
        Bytes encrypt(ByteView plaintext);
        Result<Bytes> decrypt(ByteView ciphertext);

        crypto::Digest32 hash;
        crypto::Secret32 chaining_key;
        std::optional<crypto::AeadKey> key;
        std::uint64_t counter = 0;
    };

    Result<void> take_message(ByteView message);
    Result<void> take_first(ByteView message);
    Result<void> take_second(ByteView message);
    Result<void> take_third(ByteView message);
    Result<Bytes> take_static(ByteView encrypted);
    Result<void> mix_shared(crypto::ExchangeKey const& own, ByteView other);
    void send_first();
    Result<void> send_second();
    Result<void> send_third();
    void send_frame(ByteView message);
    Bytes own_payload() const;
    Result<void> take_payload(ByteView payload, ByteView peer_static);
    Result<void> choose_muxer();
    void finish();

    crypto::KeyPair const& identity_;
    NoiseOptions options_;
    crypto::ExchangeKey static_key_;
    crypto::ExchangeKey ephemeral_key_;
    Symmetric symmetric_;
    int messages_ = 0;  // taken or sent so far
    Bytes peer_ephemeral_;
    Bytes peer_static_;
    std::optional<multiformats::PeerId> peer_;
    std::optional<crypto::PublicKey> peer_key_;
    std::vector<std::string> peer_muxers_;  // empty: the peer sent no list
    std::optional<std::string> muxer_;
    Bytes pending_;
    Bytes output_;
    std::optional<SecureSession> session_;
};

}  // namespace plexus::security
