#include "membership/messages.h"

#include "multiformats/protobuf.h"

namespace plexus::membership {

using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;

namespace {

enum SyncField : std::uint32_t { mesh_field = 1, head_field = 2, entry_field = 3, hint_field = 4 };
enum HintField : std::uint32_t { device_field = 1, address_field = 2 };
enum PairingField : std::uint32_t {
    kind_field = 1,
    invite_field = 2,
    name_field = 3,
    nonce_field = 4,
    proof_field = 5,
    sync_field = 6,
    refusal_field = 7,
};

Bytes encode(AddressHint const& hint)
{
    auto writer = ProtobufWriter();
    writer.bytes(device_field, hint.device.bytes());
    for (auto const& address : hint.addresses) {
        writer.bytes(address_field, address.bytes());
    }
    return writer.take();
}

Result<AddressHint> decode_hint(ByteView bytes)
{
    auto hint = AddressHint{};
    auto const read = for_each_field(bytes, [&](ProtobufField const& field) -> Result<void> {
        if (field.number == device_field) {
            auto device = PeerId::from_bytes(field.bytes);
            if (!device) {
                return std::unexpected(device.error());
            }
            hint.device = std::move(*device);
        } else if (field.number == address_field && hint.addresses.size() < max_addresses_per_device) {
            if (auto address = Multiaddr::from_bytes(field.bytes)) {
                hint.addresses.push_back(std::move(*address));
            }
        }
        return {};
    });
    if (!read || hint.device.empty()) {
        return fail(ErrorKind::malformed, "an address hint names no device");
    }
    return hint;
}

template <typename T>
Result<void> push(std::vector<T>& list, Result<T> item, std::size_t limit)
{
    if (!item) {
        return std::unexpected(item.error());
    }
    if (list.size() >= limit) {
        return fail(ErrorKind::too_large, "a membership message lists more than {} things", limit);
    }
    list.push_back(std::move(*item));
    return {};
}

Result<Bytes> bounded(ByteView bytes, std::size_t limit)
{
    if (bytes.size() > limit) {
        return fail(ErrorKind::too_large, "a field of a membership message has {} bytes", bytes.size());
    }
    return to_bytes(bytes);
}

Result<void> take_sync_field(SyncMessage& message, ProtobufField const& field)
{
    switch (field.number) {
    case mesh_field: {
        auto mesh = EntryId::from_bytes(field.bytes);
        if (!mesh) {
            return std::unexpected(mesh.error());
        }
        message.mesh = *mesh;
        return {};
    }
    case head_field: return push(message.heads, EntryId::from_bytes(field.bytes), max_entries);
    case entry_field: return push(message.entries, bounded(field.bytes, max_entry_bytes), max_entries);
    case hint_field: return push(message.hints, decode_hint(field.bytes), max_hints);
    default: return {};
    }
}

Result<void> set_bytes(Bytes& target, ByteView bytes, std::size_t size)
{
    if (bytes.size() != size) {
        return fail(ErrorKind::malformed, "a field of a pairing message has {} bytes, not {}", bytes.size(), size);
    }
    target = to_bytes(bytes);
    return {};
}

Result<void> take_pairing_field(PairingMessage& message, ProtobufField const& field)
{
    switch (field.number) {
    case kind_field:
        message.kind = static_cast<PairingMessage::Kind>(std::min<std::uint64_t>(field.value, 255));
        return {};
    case invite_field: return set_bytes(message.invite_id, field.bytes, invite_id_bytes);
    case name_field: message.name = std::string(as_text(field.bytes.first(std::min(field.bytes.size(), max_name_bytes + 1)))); return {};
    case nonce_field: return set_bytes(message.nonce, field.bytes, nonce_bytes);
    case proof_field: return set_bytes(message.proof, field.bytes, crypto::Digest32::size);
    case sync_field: {
        auto sync = decode_sync(field.bytes);
        if (!sync) {
            return std::unexpected(sync.error());
        }
        message.mesh = std::move(*sync);
        return {};
    }
    case refusal_field:
        message.refusal = static_cast<PairingRefusal>(std::min<std::uint64_t>(field.value, 255));
        return {};
    default: return {};
    }
}

bool is_complete(PairingMessage const& message)
{
    using Kind = PairingMessage::Kind;
    switch (message.kind) {
    case Kind::hello: return !message.invite_id.empty() && !message.nonce.empty() && is_usable_name(message.name);
    case Kind::challenge: return !message.nonce.empty();
    case Kind::proof: return !message.proof.empty();
    case Kind::accepted: return !message.proof.empty() && !message.mesh.entries.empty();
    case Kind::refused:
    case Kind::done: return true;
    }
    return false;
}

}  // namespace

Bytes encode(SyncMessage const& message)
{
    auto writer = ProtobufWriter();
    if (message.mesh) {
        writer.bytes(mesh_field, message.mesh->bytes());
    }
    for (auto const& head : message.heads) {
        writer.bytes(head_field, head.bytes());
    }
    for (auto const& entry : message.entries) {
        writer.bytes(entry_field, entry);
    }
    for (auto const& hint : message.hints) {
        writer.bytes(hint_field, encode(hint));
    }
    return writer.take();
}

Result<SyncMessage> decode_sync(ByteView bytes)
{
    auto message = SyncMessage{};
    auto const read =
        for_each_field(bytes, [&](ProtobufField const& field) { return take_sync_field(message, field); });
    if (!read) {
        return std::unexpected(read.error());
    }
    return message;
}

Bytes encode(PairingMessage const& message)
{
    using Kind = PairingMessage::Kind;
    auto writer = ProtobufWriter();
    writer.varint(kind_field, static_cast<std::uint64_t>(message.kind));
    if (message.kind == Kind::hello) {
        writer.bytes(invite_field, message.invite_id).text(name_field, message.name);
    }
    if (message.kind == Kind::hello || message.kind == Kind::challenge) {
        writer.bytes(nonce_field, message.nonce);
    }
    if (message.kind == Kind::proof || message.kind == Kind::accepted) {
        writer.bytes(proof_field, message.proof);
    }
    if (message.kind == Kind::accepted) {
        writer.bytes(sync_field, encode(message.mesh));
    }
    if (message.kind == Kind::refused) {
        writer.varint(refusal_field, static_cast<std::uint64_t>(message.refusal));
    }
    return writer.take();
}

Result<PairingMessage> decode_pairing(ByteView bytes)
{
    auto message = PairingMessage{};
    auto const read =
        for_each_field(bytes, [&](ProtobufField const& field) { return take_pairing_field(message, field); });
    if (!read) {
        return std::unexpected(read.error());
    }
    if (!is_complete(message)) {
        return fail(ErrorKind::malformed, "a pairing message is not complete");
    }
    return message;
}

}  // namespace plexus::membership
