#include "membership/invite_link.h"

#include "multiformats/multibase.h"
#include "multiformats/protobuf.h"

namespace plexus::membership {

using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;

namespace {

constexpr auto scheme = std::string_view("plexus://join/");
constexpr std::size_t check_bytes = 4;
constexpr std::uint64_t link_version = 1;

enum Field : std::uint32_t {
    version_field = 1,
    device_field = 2,
    address_field = 3,
    invite_field = 4,
    secret_field = 5,
    expires_field = 6,  // seconds since 1970
};

Bytes check_value(ByteView message)
{
    return to_bytes(crypto::sha256(message).bytes().first(check_bytes));
}

std::string_view trimmed(std::string_view text)
{
    constexpr auto around = std::string_view(" \t\r\n'\"");
    auto const begin = text.find_first_not_of(around);
    auto const end = text.find_last_not_of(around);
    return begin == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

std::unexpected<Error> not_whole()
{
    return fail(ErrorKind::malformed, "the link is not whole: copy all of it, from plexus:// to its end");
}

Result<void> take(InviteLink& link, std::uint64_t& version, ProtobufField const& field)
{
    switch (field.number) {
    case version_field: version = field.value; return {};
    case device_field: {
        auto device = PeerId::from_bytes(field.bytes);
        if (!device) {
            return std::unexpected(device.error());
        }
        link.device = std::move(*device);
        return {};
    }
    case address_field:
        if (auto address = Multiaddr::from_bytes(field.bytes); address && link.addresses.size() < max_addresses_per_device) {
            link.addresses.push_back(std::move(*address));
        }
        return {};
    case invite_field: link.invite_id = to_bytes(field.bytes); return {};
    case secret_field: link.secret = to_bytes(field.bytes); return {};
    case expires_field: {
        constexpr std::uint64_t latest = 253'402'300'800;  // the year 10000
        link.expires = WallTime(std::chrono::seconds(std::min(field.value, latest)));
        return {};
    }
    default: return {};
    }
}

}  // namespace

std::string InviteLink::text() const
{
    auto const seconds = std::chrono::ceil<std::chrono::seconds>(expires).time_since_epoch().count();
    auto writer = ProtobufWriter();
    writer.varint(version_field, link_version).bytes(device_field, device.bytes());
    for (auto const& address : addresses) {
        writer.bytes(address_field, address.bytes());
    }
    writer.bytes(invite_field, invite_id).bytes(secret_field, secret);
    writer.varint(expires_field, static_cast<std::uint64_t>(seconds));
    auto message = writer.take();
    append(message, check_value(message));
    return std::string(scheme) + multiformats::to_base64url(message);
}

Result<InviteLink> InviteLink::parse(std::string_view text)
{
    text = trimmed(text);
    if (!text.starts_with(scheme)) {
        return fail(ErrorKind::malformed, "this is no invite link; one begins with {}", scheme);
    }
    if (text.size() > max_link_bytes) {
        return fail(ErrorKind::malformed, "the link is too long to be one of ours");
    }
    auto const bytes = multiformats::from_base64url(text.substr(scheme.size()));
    if (!bytes || bytes->size() <= check_bytes) {
        return not_whole();
    }
    auto const message = ByteView(*bytes).first(bytes->size() - check_bytes);
    if (!std::ranges::equal(check_value(message), ByteView(*bytes).last(check_bytes))) {
        return not_whole();
    }
    auto link = InviteLink{};
    auto version = std::uint64_t{0};
    auto const read = for_each_field(message, [&](ProtobufField const& field) { return take(link, version, field); });
    if (version > link_version) {
        return fail(ErrorKind::malformed, "the link was made by a later version of Plexus: update this device");
    }
    auto const is_whole = read && version == link_version && !link.device.empty() && !link.addresses.empty() &&
                          link.invite_id.size() == invite_id_bytes && link.secret.size() == secret_bytes;
    if (!is_whole) {
        return not_whole();
    }
    return link;
}

}  // namespace plexus::membership
