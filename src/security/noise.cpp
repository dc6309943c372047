#include "security/noise.h"

#include "multiformats/protobuf.h"
#include "security/identity.h"

namespace plexus::security {

namespace {

using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;

constexpr std::string_view protocol_name = "Noise_XX_25519_ChaChaPoly_SHA256";
constexpr std::string_view signature_domain = "noise-libp2p-static-key:";
constexpr std::size_t key_size = 32;
constexpr std::uint32_t identity_key_field = 1;
constexpr std::uint32_t identity_signature_field = 2;
constexpr std::uint32_t extensions_field = 4;
constexpr std::uint32_t stream_muxers_field = 2;

/// Borrowed from the decrypted message.
struct Payload {
    ByteView identity_key;
    ByteView identity_signature;
    std::vector<std::string> muxers;
};

Result<void> take_extension(Payload& payload, ProtobufField const& field)
{
    if (field.number != stream_muxers_field || field.type != ProtobufField::Type::bytes) {
        return {};
    }
    if (payload.muxers.size() == max_offered_muxers) {
        return fail(ErrorKind::too_large, "the handshake offers more than {} muxers", max_offered_muxers);
    }
    payload.muxers.emplace_back(as_text(field.bytes));
    return {};
}

Result<void> take_payload_field(Payload& payload, ProtobufField const& field)
{
    switch (field.number) {
    case identity_key_field: payload.identity_key = field.bytes; return {};
    case identity_signature_field: payload.identity_signature = field.bytes; return {};
    case extensions_field:
        return for_each_field(field.bytes, [&payload](auto const& inner) { return take_extension(payload, inner); });
    default: return {};
    }
}

}  // namespace

NoiseHandshake::Symmetric::Symmetric()
    : hash(crypto::Digest32::from_bytes(as_view(protocol_name)).value()),
      chaining_key(hash.bytes().first<crypto::Secret32::size>())
{
    mix_hash({});
}

void NoiseHandshake::Symmetric::mix_hash(ByteView data)
{
    auto state = crypto::Sha256{};
    state.update(hash.bytes());
    state.update(data);
    hash = state.finish();
}

void NoiseHandshake::Symmetric::mix_key(crypto::Secret32 const& input)
{
    auto const [next, made] = crypto::hkdf2(chaining_key.bytes(), input.bytes());
    chaining_key = next;
    key.emplace(made);
    counter = 0;
}

Bytes NoiseHandshake::Symmetric::encrypt(ByteView plaintext)
{
    auto ciphertext = to_bytes(plaintext);
    if (key) {
        ciphertext.resize(plaintext.size() + frame_tag);
        auto const whole = MutableByteView(ciphertext);
        key->seal(counter++, hash.bytes(), whole.first(plaintext.size()), whole.last(frame_tag));
    }
    mix_hash(ciphertext);
    return ciphertext;
}

Result<Bytes> NoiseHandshake::Symmetric::decrypt(ByteView ciphertext)
{
    auto plaintext = to_bytes(ciphertext);
    if (key) {
        if (ciphertext.size() < frame_tag) {
            return fail(ErrorKind::malformed, "a handshake message is cut off");
        }
        plaintext.resize(ciphertext.size() - frame_tag);
        if (!key->open(counter++, hash.bytes(), plaintext, ciphertext.last(frame_tag))) {
            return fail(ErrorKind::malformed, "a handshake message does not decrypt");
        }
    }
    mix_hash(ciphertext);
    return plaintext;
}

NoiseHandshake::NoiseHandshake(crypto::KeyPair const& identity, NoiseOptions options)
    : identity_(identity), options_(std::move(options)), static_key_(options_.static_secret),
      ephemeral_key_(options_.ephemeral_secret)
{
    if (options_.role == Role::initiator) {
        send_first();
    }
}

Result<void> NoiseHandshake::push(ByteView received)
{
    append(pending_, received);
    while (!done() && pending_.size() >= frame_header) {
        auto const size = std::size_t{load_big_endian<std::uint16_t>(pending_.data())};
        if (size > max_handshake_message) {
            return fail(ErrorKind::too_large, "a handshake message of {} bytes", size);
        }
        if (pending_.size() < frame_header + size) {
            break;
        }
        if (auto taken = take_message(ByteView(pending_).subspan(frame_header, size)); !taken) {
            return taken;
        }
        pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(frame_header + size));
    }
    return {};
}

Result<void> NoiseHandshake::take_message(ByteView message)
{
    switch (++messages_) {
    case 1: return take_first(message);
    case 2: return take_second(message);
    default: return take_third(message);
    }
}

void NoiseHandshake::send_frame(ByteView message)
{
    auto frame = Bytes(frame_header);
    store_big_endian(frame.data(), static_cast<std::uint16_t>(message.size()));
    append(frame, message);
    append(output_, frame);
}

void NoiseHandshake::send_first()
{
    symmetric_.mix_hash(ephemeral_key_.public_key());
    symmetric_.mix_hash({});  // the empty payload, not yet encrypted
    send_frame(ephemeral_key_.public_key());
    ++messages_;
}

Result<void> NoiseHandshake::take_first(ByteView message)
{
    if (message.size() != key_size) {
        return fail(ErrorKind::malformed, "the first handshake message has {} bytes, not 32", message.size());
    }
    peer_ephemeral_ = to_bytes(message);
    symmetric_.mix_hash(peer_ephemeral_);
    symmetric_.mix_hash({});
    return send_second();
}

Result<void> NoiseHandshake::mix_shared(crypto::ExchangeKey const& own, ByteView other)
{
    auto const shared = own.shared_secret(other.first<key_size>());
    if (!shared) {
        return std::unexpected(shared.error());
    }
    symmetric_.mix_key(*shared);
    return {};
}

Result<void> NoiseHandshake::send_second()
{
    auto message = to_bytes(ephemeral_key_.public_key());
    symmetric_.mix_hash(message);
    if (auto mixed = mix_shared(ephemeral_key_, peer_ephemeral_); !mixed) {
        return mixed;
    }
    append(message, symmetric_.encrypt(static_key_.public_key()));
    if (auto mixed = mix_shared(static_key_, peer_ephemeral_); !mixed) {
        return mixed;
    }
    append(message, symmetric_.encrypt(own_payload()));
    send_frame(message);
    ++messages_;
    return {};
}

Result<Bytes> NoiseHandshake::take_static(ByteView encrypted)
{
    auto key = symmetric_.decrypt(encrypted);
    if (key && std::ranges::all_of(*key, [](auto byte) { return byte == std::byte{}; })) {
        return fail(ErrorKind::malformed, "the other side's handshake key is zero");
    }
    return key;
}

Result<void> NoiseHandshake::take_second(ByteView message)
{
    constexpr auto static_size = key_size + frame_tag;
    if (message.size() < key_size + static_size + frame_tag) {
        return fail(ErrorKind::malformed, "the second handshake message has {} bytes", message.size());
    }
    peer_ephemeral_ = to_bytes(message.first(key_size));
    symmetric_.mix_hash(peer_ephemeral_);
    if (auto mixed = mix_shared(ephemeral_key_, peer_ephemeral_); !mixed) {
        return mixed;
    }
    auto peer_static = take_static(message.subspan(key_size, static_size));
    if (!peer_static) {
        return std::unexpected(peer_static.error());
    }
    peer_static_ = std::move(*peer_static);
    if (auto mixed = mix_shared(ephemeral_key_, peer_static_); !mixed) {
        return mixed;
    }
    auto const payload = symmetric_.decrypt(message.subspan(key_size + static_size));
    if (!payload) {
        return std::unexpected(payload.error());
    }
    if (auto taken = take_payload(*payload, peer_static_); !taken) {
        return taken;
    }
    return send_third();
}

Result<void> NoiseHandshake::send_third()
{
    auto message = symmetric_.encrypt(static_key_.public_key());
    if (auto mixed = mix_shared(static_key_, peer_ephemeral_); !mixed) {
        return mixed;
    }
    append(message, symmetric_.encrypt(own_payload()));
    send_frame(message);
    ++messages_;
    if (auto chosen = choose_muxer(); !chosen) {
        return chosen;
    }
    finish();
    return {};
}

Result<void> NoiseHandshake::take_third(ByteView message)
{
    constexpr auto static_size = key_size + frame_tag;
    if (message.size() < static_size + frame_tag) {
        return fail(ErrorKind::malformed, "the third handshake message has {} bytes", message.size());
    }
    auto peer_static = take_static(message.first(static_size));
    if (!peer_static) {
        return std::unexpected(peer_static.error());
    }
    peer_static_ = std::move(*peer_static);
    if (auto mixed = mix_shared(ephemeral_key_, peer_static_); !mixed) {
        return mixed;
    }
    auto const payload = symmetric_.decrypt(message.subspan(static_size));
    if (!payload) {
        return std::unexpected(payload.error());
    }
    if (auto taken = take_payload(*payload, peer_static_); !taken) {
        return taken;
    }
    if (auto chosen = choose_muxer(); !chosen) {
        return chosen;
    }
    finish();
    return {};
}

Bytes NoiseHandshake::own_payload() const
{
    auto const signature = identity_.sign(concatenate({as_view(signature_domain), static_key_.public_key()}));
    auto payload = ProtobufWriter{};
    payload.bytes(identity_key_field, identity_.public_key().encode()).bytes(identity_signature_field, signature);
    if (!options_.muxers.empty()) {
        auto extensions = ProtobufWriter{};
        for (auto const& muxer : options_.muxers) {
            extensions.text(stream_muxers_field, muxer);
        }
        payload.bytes(extensions_field, extensions.take());
    }
    return payload.take();
}

Result<void> NoiseHandshake::take_payload(ByteView bytes, ByteView peer_static)
{
    auto payload = Payload{};
    auto const read = for_each_field(bytes, [&](auto const& field) { return take_payload_field(payload, field); });
    if (!read) {
        return read;
    }
    auto key = crypto::PublicKey::decode(payload.identity_key);
    if (!key) {
        return std::unexpected(key.error());
    }
    if (!key->verify(concatenate({as_view(signature_domain), peer_static}), payload.identity_signature)) {
        return fail(ErrorKind::not_allowed, "the other side did not prove its identity");
    }
    auto peer = peer_id_of(*key);
    if (options_.expected_peer && *options_.expected_peer != peer) {
        return fail(ErrorKind::not_allowed, "expected {}, found {}", options_.expected_peer->text(), peer.text());
    }
    peer_ = std::move(peer);
    peer_key_ = std::move(*key);
    peer_muxers_ = std::move(payload.muxers);
    return {};
}

Result<void> NoiseHandshake::choose_muxer()
{
    if (options_.muxers.empty() || peer_muxers_.empty()) {
        return {};  // rust peers send no list: the muxer is negotiated behind
    }
    auto const own_first = options_.role == Role::initiator;
    auto const& preferred = own_first ? options_.muxers : peer_muxers_;
    auto const& others = own_first ? peer_muxers_ : options_.muxers;
    for (auto const& muxer : preferred) {
        if (std::ranges::find(others, muxer) != others.end()) {
            muxer_ = muxer;
            return {};
        }
    }
    return fail(ErrorKind::refused, "there is no muxer that both sides have");
}

void NoiseHandshake::finish()
{
    auto const [first, second] = crypto::hkdf2(symmetric_.chaining_key.bytes(), {});
    auto const initiator = options_.role == Role::initiator;
    session_.emplace(SecureSession{
        .peer = *peer_,
        .peer_key = *peer_key_,
        .sealer = FrameSealer(crypto::AeadKey(initiator ? first : second)),
        .opener = FrameOpener(crypto::AeadKey(initiator ? second : first)),
        .muxer = muxer_,
        .channel_binding = symmetric_.hash,
    });
}

}  // namespace plexus::security
