#include "security/envelope.h"

#include "multiformats/protobuf.h"
#include "multiformats/varint.h"
#include "security/identity.h"

namespace plexus::security {

namespace {

using multiformats::for_each_field;
using multiformats::Multiaddr;
using multiformats::PeerId;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;

namespace envelope_field {
enum : std::uint32_t { public_key = 1, payload_type = 2, payload = 3, signature = 5 };
}
namespace record_field {
enum : std::uint32_t { peer = 1, sequence = 2, address_info = 3, address = 1 };
}

Bytes signed_bytes(EnvelopeUse const& use, ByteView payload)
{
    auto bytes = Bytes{};
    for (auto const part : {as_view(use.domain), ByteView(use.payload_type), payload}) {
        multiformats::append_varint(bytes, part.size());
        append(bytes, part);
    }
    return bytes;
}

struct Parts {
    ByteView public_key, payload_type, payload, signature;
};

Result<Parts> parse_envelope(ByteView bytes)
{
    auto parts = Parts{};
    auto const read = for_each_field(bytes, [&parts](ProtobufField const& field) -> Result<void> {
        switch (field.number) {
        case envelope_field::public_key: parts.public_key = field.bytes; break;
        case envelope_field::payload_type: parts.payload_type = field.bytes; break;
        case envelope_field::payload: parts.payload = field.bytes; break;
        case envelope_field::signature: parts.signature = field.bytes; break;
        default: break;
        }
        return {};
    });
    return read ? Result<Parts>(parts) : Result<Parts>(std::unexpected(read.error()));
}

Result<void> take_address(PeerRecord& record, ByteView address_info)
{
    return for_each_field(address_info, [&record](ProtobufField const& field) -> Result<void> {
        if (field.number != record_field::address) {
            return {};
        }
        if (record.addresses.size() == max_record_addresses) {
            return fail(ErrorKind::too_large, "a peer record has more than {} addresses", max_record_addresses);
        }
        if (auto address = Multiaddr::from_bytes(field.bytes)) {
            record.addresses.push_back(std::move(*address));
        }
        return {};
    });
}

Result<PeerRecord> parse_record(ByteView payload)
{
    auto record = PeerRecord{};
    auto const read = for_each_field(payload, [&record](ProtobufField const& field) -> Result<void> {
        switch (field.number) {
        case record_field::peer: {
            auto peer = PeerId::from_bytes(field.bytes);
            if (!peer) {
                return std::unexpected(peer.error());
            }
            record.peer = std::move(*peer);
            return {};
        }
        case record_field::sequence: record.sequence = field.value; return {};
        case record_field::address_info: return take_address(record, field.bytes);
        default: return {};
        }
    });
    return read ? Result<PeerRecord>(std::move(record)) : Result<PeerRecord>(std::unexpected(read.error()));
}

}  // namespace

Bytes seal_envelope(crypto::KeyPair const& identity, EnvelopeUse const& use, ByteView payload)
{
    return ProtobufWriter()
        .bytes(envelope_field::public_key, identity.public_key().encode())
        .bytes(envelope_field::payload_type, use.payload_type)
        .bytes(envelope_field::payload, payload)
        .bytes(envelope_field::signature, identity.sign(signed_bytes(use, payload)))
        .take();
}

Result<Envelope> open_envelope(ByteView bytes, EnvelopeUse const& use)
{
    if (bytes.size() > max_envelope_bytes) {
        return fail(ErrorKind::too_large, "an envelope of {} bytes, at most {} are read", bytes.size(), max_envelope_bytes);
    }
    auto const parts = parse_envelope(bytes);
    if (!parts) {
        return std::unexpected(parts.error());
    }
    if (!std::ranges::equal(parts->payload_type, use.payload_type)) {
        return fail(ErrorKind::malformed, "the envelope holds something else than for {}", use.domain);
    }
    auto key = crypto::PublicKey::decode(parts->public_key);
    if (!key) {
        return std::unexpected(key.error());
    }
    if (!key->verify(signed_bytes(use, parts->payload), parts->signature)) {
        return fail(ErrorKind::not_allowed, "the signature of the envelope is not its key's");
    }
    return Envelope{.signer = std::move(*key), .payload = to_bytes(parts->payload)};
}

Bytes seal_peer_record(crypto::KeyPair const& identity, PeerRecord const& record)
{
    auto payload = ProtobufWriter();
    payload.bytes(record_field::peer, record.peer.bytes()).varint(record_field::sequence, record.sequence);
    for (auto const& address : record.addresses) {
        payload.bytes(record_field::address_info, ProtobufWriter().bytes(record_field::address, address.bytes()).take());
    }
    return seal_envelope(identity, peer_record_use, payload.take());
}

Result<PeerRecord> open_peer_record(ByteView bytes)
{
    auto const envelope = open_envelope(bytes, peer_record_use);
    if (!envelope) {
        return std::unexpected(envelope.error());
    }
    auto record = parse_record(envelope->payload);
    if (record && record->peer != peer_id_of(envelope->signer)) {
        return fail(ErrorKind::not_allowed, "a peer signed a record of another");
    }
    return record;
}

}  // namespace plexus::security
