#include "security/noise.h"

#include "multiformats/protobuf.h"

namespace plexus::security {

namespace {

using multiformats::PeerId;
using multiformats::ProtobufField;
using multiformats::ProtobufReader;
using multiformats::ProtobufWriter;

constexpr std::string_view protocol_name = "Noise_XX_25519_ChaChaPoly_SHA256";
constexpr std::string_view signature_domain = "noise-libp2p-static-key:";
constexpr std::size_t key_size = 32;
constexpr std::uint32_t identity_key_field = 1;
constexpr std::uint32_t identity_signature_field = 2;
constexpr std::uint32_t extensions_field = 4;
constexpr std::uint32_t stream_muxers_field = 2;

crypto::Secret32 as_secret(crypto::Digest32 const& digest)
{
    return crypto::Secret32(digest.bytes().first<crypto::Secret32::size>());
}

struct Payload {
    ByteView identity_key;
    ByteView identity_signature;
    std::optional<std::vector<std::string>> muxers;
};

Result<std::vector<std::string>> parse_muxers(ByteView extensions)
{
    auto muxers = std::vector<std::string>{};
    auto reader = ProtobufReader(extensions);
    for (;;) {
        auto const field = reader.next();
        if (!field) {
            return std::unexpected(field.error());
        }
        if (!*field) {
            return muxers;
        }
        if ((*field)->number == stream_muxers_field && (*field)->type == ProtobufField::Type::bytes) {
            if (muxers.size() == max_offered_muxers) {
                return fail(ErrorKind::too_large, "the handshake offers more than {} muxers", max_offered_muxers);
            }
            muxers.emplace_back(as_text((*field)->bytes));
        }
    }
}

Result<Payload> parse_payload(ByteView bytes)
{
    auto payload = Payload{};
    auto reader = ProtobufReader(bytes);
    for (;;) {
        auto const field = reader.next();
        if (!field) {
            return std::unexpected(field.error());
        }
        if (!*field) {
            return payload;
        }
        auto const& found = **field;
        if (found.type != ProtobufField::Type::bytes) {
            continue;
        }
        if (found.number == identity_key_field) {
            payload.identity_key = found.bytes;
        } else if (found.number == identity_signature_field) {
            payload.identity_signature = found.bytes;
        } else if (found.number == extensions_field) {
            auto muxers = parse_muxers(found.bytes);
            if (!muxers) {
                return std::unexpected(muxers.error());
            }
            if (!muxers->empty()) {
                payload.muxers = std::move(*muxers);
            }
        }
    }
}

Result<PeerId> peer_id_of(crypto::PublicKey const& key)
{
    auto const encoded = key.encode();
    if (encoded.size() <= PeerId::max_inline_key) {
        return PeerId::from_public_key(encoded);
    }
    return PeerId::from_key_digest(crypto::sha256(encoded).bytes());
}

}  // namespace

void FrameSealer::seal(MutableByteView frame)
{
    PLEXUS_ASSERT(frame.size() > frame_header + frame_tag && frame.size() <= frame_header + max_frame_body);
    auto const body = frame.size() - frame_header;
    store_big_endian(frame.data(), static_cast<std::uint16_t>(body));
    key_.seal(counter_++, {}, frame.subspan(frame_header, body - frame_tag), frame.last(frame_tag));
}

Result<std::optional<FrameOpener::Opened>> FrameOpener::open(MutableByteView received)
{
    if (received.size() < frame_header) {
        return std::optional<Opened>{};
    }
    auto const body = std::size_t{load_big_endian<std::uint16_t>(received.data())};
    if (body < frame_tag) {
        return fail(ErrorKind::malformed, "an encrypted frame of {} bytes", body);
    }
    if (received.size() < frame_header + body) {
        return std::optional<Opened>{};
    }
    auto const plaintext = received.subspan(frame_header, body - frame_tag);
    auto const tag = received.subspan(frame_header + body - frame_tag, frame_tag);
    if (!key_.open(counter_++, {}, plaintext, tag)) {
        return fail(ErrorKind::malformed, "an encrypted frame was changed on its way");
    }
    return Opened{.plaintext = plaintext, .frame_bytes = frame_header + body};
}

NoiseHandshake::Symmetric::Symmetric()
    : hash(crypto::Digest32::from_bytes(as_view(protocol_name)).value()), chaining_key(hash)
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
    key.emplace(as_secret(made));
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
        if (size > max_handshake_payload) {
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
    auto const payload = parse_payload(bytes);
    if (!payload) {
        return std::unexpected(payload.error());
    }
    auto key = crypto::PublicKey::decode(payload->identity_key);
    if (!key) {
        return std::unexpected(key.error());
    }
    if (!key->verify(concatenate({as_view(signature_domain), peer_static}), payload->identity_signature)) {
        return fail(ErrorKind::not_allowed, "the other side did not prove its identity");
    }
    auto peer = peer_id_of(*key);
    if (!peer) {
        return std::unexpected(peer.error());
    }
    if (options_.expected_peer && *options_.expected_peer != *peer) {
        return fail(ErrorKind::not_allowed, "expected {}, found {}", options_.expected_peer->text(), peer->text());
    }
    peer_ = std::move(*peer);
    peer_key_ = std::move(*key);
    peer_muxers_ = payload->muxers;
    return {};
}

Result<void> NoiseHandshake::choose_muxer()
{
    if (options_.muxers.empty() || !peer_muxers_) {
        return {};
    }
    auto const own_first = options_.role == Role::initiator;
    auto const& preferred = own_first ? options_.muxers : *peer_muxers_;
    auto const& others = own_first ? *peer_muxers_ : options_.muxers;
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
        .sealer = FrameSealer(crypto::AeadKey(as_secret(initiator ? first : second))),
        .opener = FrameOpener(crypto::AeadKey(as_secret(initiator ? second : first))),
        .muxer = muxer_,
        .channel_binding = symmetric_.hash,
    });
}

}  // namespace plexus::security
