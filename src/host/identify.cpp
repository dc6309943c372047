#include "host/identify.h"

#include "base/text.h"
#include "multiformats/protobuf.h"
#include "stream/messages.h"

namespace plexus::host {

namespace {

using multiformats::ProtobufField;

enum Field : std::uint32_t {
    public_key = 1,
    listen_addresses = 2,
    protocols = 3,
    observed_address = 4,
    protocol_version = 5,
    agent_version = 6,
};

Result<void> merge_field(Identify& identify, ProtobufField const& field)
{
    switch (field.number) {
    case public_key: identify.public_key = to_bytes(field.bytes); break;
    case listen_addresses:
        if (identify.listen_addresses.size() == max_identify_addresses) {
            return fail(ErrorKind::too_large, "identify lists more than {} addresses", max_identify_addresses);
        }
        if (auto address = Multiaddr::from_bytes(field.bytes)) {
            identify.listen_addresses.push_back(std::move(*address));
        }
        break;
    case protocols:
        if (identify.protocols.size() == max_identify_protocols) {
            return fail(ErrorKind::too_large, "identify lists more than {} protocols", max_identify_protocols);
        }
        identify.protocols.emplace_back(as_text(field.bytes));
        break;
    case observed_address:
        if (auto address = Multiaddr::from_bytes(field.bytes)) {
            identify.observed_address = std::move(*address);
        }
        break;
    case protocol_version: identify.protocol_version = printable_utf8(as_text(field.bytes), max_agent_bytes); break;
    case agent_version: identify.agent = printable_utf8(as_text(field.bytes), max_agent_bytes); break;
    default: break;
    }
    return {};
}

}  // namespace

Bytes encode(Identify const& identify)
{
    auto writer = multiformats::ProtobufWriter{};
    writer.bytes(public_key, identify.public_key);
    for (auto const& address : identify.listen_addresses) {
        writer.bytes(listen_addresses, address.bytes());
    }
    for (auto const& protocol : identify.protocols) {
        writer.text(protocols, protocol);
    }
    if (identify.observed_address) {
        writer.bytes(observed_address, identify.observed_address->bytes());
    }
    writer.text(protocol_version, identify.protocol_version).text(agent_version, identify.agent);
    return writer.take();
}

Result<void> merge(Identify& identify, ByteView message)
{
    auto reader = multiformats::ProtobufReader(message);
    for (;;) {
        auto const field = reader.next();
        if (!field) {
            return std::unexpected(field.error());
        }
        if (!*field) {
            return {};
        }
        if ((*field)->type != ProtobufField::Type::bytes) {
            continue;
        }
        if (auto merged = merge_field(identify, **field); !merged) {
            return merged;
        }
    }
}

Task<Result<Identify>> read_identify(ByteStream& stream)
{
    auto identify = Identify{};
    for (std::size_t count = 0; count < max_identify_messages; ++count) {
        auto const message = co_await stream::read_message(stream, max_identify_bytes);
        if (!message && message.error().kind == ErrorKind::closed && count > 0) {
            co_return identify;
        }
        if (!message) {
            co_return std::unexpected(message.error());
        }
        if (auto merged = merge(identify, *message); !merged) {
            co_return std::unexpected(merged.error());
        }
    }
    co_return fail(ErrorKind::too_large, "identify has more than {} messages", max_identify_messages);
}

}  // namespace plexus::host
