#include "membership/entry.h"

#include "base/text.h"
#include "multiformats/protobuf.h"
#include "security/identity.h"

namespace plexus::membership {

using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;

namespace {

constexpr auto signing_domain = std::string_view("plexus-membership-entry/1");
constexpr std::uint64_t format_version = 1;
constexpr std::size_t nonce_bytes = 16;
constexpr auto role_names = std::array{std::pair{Role::owner, "owner"}, std::pair{Role::member, "member"},
                                       std::pair{Role::guest, "guest"}, std::pair{Role::sensor, "sensor"},
                                       std::pair{Role::relay, "relay"}};

enum Field : std::uint32_t {
    version_field = 1,
    operation_field = 2,
    parent_field = 3,
    signer_field = 4,
    time_field = 5,
    device_field = 6,
    role_field = 7,
    name_field = 8,
    nonce_field = 9,
};

enum EnvelopeField : std::uint32_t { body_field = 1, signature_field = 2 };

Bytes encode(EntryBody const& body)
{
    auto writer = ProtobufWriter();
    writer.varint(version_field, format_version);
    writer.varint(operation_field, static_cast<std::uint64_t>(body.operation));
    for (auto const& parent : body.parents) {
        writer.bytes(parent_field, parent.bytes());
    }
    writer.bytes(signer_field, body.signer.bytes());
    writer.varint(time_field, static_cast<std::uint64_t>(body.time.time_since_epoch().count()));
    writer.bytes(device_field, body.device.bytes());
    if (body.operation != Operation::revoke) {
        writer.varint(role_field, static_cast<std::uint64_t>(body.role));
        writer.text(name_field, body.name);
    }
    if (body.operation == Operation::genesis) {
        writer.bytes(nonce_field, body.nonce);
    }
    return writer.take();
}

Bytes signed_part(ByteView body)
{
    return concatenate({as_view(signing_domain), body});
}

template <typename T>
Result<void> keep(T& target, Result<T> value)
{
    if (!value) {
        return std::unexpected(value.error());
    }
    target = std::move(*value);
    return {};
}

Result<Role> role_of(std::uint64_t number)
{
    for (auto const& [role, name] : role_names) {
        if (static_cast<std::uint64_t>(role) == number) {
            return role;
        }
    }
    return fail(ErrorKind::malformed, "a membership entry gives the unknown role {}", number);
}

Result<Operation> operation_of(std::uint64_t number)
{
    if (number < 1 || number > static_cast<std::uint64_t>(Operation::revoke)) {
        return fail(ErrorKind::unavailable, "a membership entry needs a later version of Plexus");
    }
    return static_cast<Operation>(number);
}

/// The fields as they come; what belongs together is checked afterwards.
class BodyParser {
public:
    Result<EntryBody> parse(ByteView bytes)
    {
        auto read = for_each_field(bytes, [this](ProtobufField const& field) { return take(field); });
        if (read) {
            read = check();
        }
        if (!read) {
            return std::unexpected(read.error());
        }
        return std::move(body_);
    }

private:
    Result<void> take(ProtobufField const& field)
    {
        switch (field.number) {
        case version_field: version_ = field.value; return {};
        case operation_field: return keep(body_.operation, operation_of(field.value));
        case parent_field: return take_parent(field.bytes);
        case signer_field: return keep(body_.signer, PeerId::from_bytes(field.bytes));
        case time_field: return take_time(field.value);
        case device_field: return keep(body_.device, PeerId::from_bytes(field.bytes));
        case role_field: return keep(body_.role, role_of(field.value));
        case name_field: body_.name = std::string(as_text(field.bytes)); return {};
        case nonce_field: body_.nonce = to_bytes(field.bytes); return {};
        default: return {};
        }
    }

    Result<void> take_time(std::uint64_t milliseconds)
    {
        constexpr std::uint64_t latest = 253'402'300'800'000;  // the year 10000
        if (milliseconds >= latest) {
            return fail(ErrorKind::malformed, "a membership entry has an impossible time");
        }
        body_.time = WallTime(std::chrono::milliseconds(milliseconds));
        return {};
    }

    Result<void> take_parent(ByteView bytes)
    {
        auto id = EntryId::from_bytes(bytes);
        if (!id) {
            return std::unexpected(id.error());
        }
        auto const in_order = body_.parents.empty() || body_.parents.back() < *id;
        if (!in_order || body_.parents.size() >= max_parents) {
            return fail(ErrorKind::malformed, "a membership entry has too many parents, or unsorted ones");
        }
        body_.parents.push_back(*id);
        return {};
    }

    Result<void> check() const
    {
        auto const is_genesis = body_.operation == Operation::genesis;
        auto const names_somebody = body_.operation != Operation::revoke;
        if (version_ != format_version) {
            return fail(ErrorKind::unavailable, "a membership entry needs a later version of Plexus");
        }
        if (body_.signer.empty() || body_.device.empty() || body_.parents.empty() != is_genesis) {
            return fail(ErrorKind::malformed, "a membership entry lacks its signer, device or parents");
        }
        if (names_somebody && !is_usable_name(body_.name)) {
            return fail(ErrorKind::malformed, "a membership entry has an unusable name");
        }
        if (is_genesis && (body_.nonce.size() != nonce_bytes || body_.device != body_.signer || body_.role != Role::owner)) {
            return fail(ErrorKind::malformed, "the first membership entry is not one");
        }
        return {};
    }

    EntryBody body_;
    std::uint64_t version_ = 0;
};

Result<void> check_signature(EntryBody const& body, ByteView bytes, ByteView signature)
{
    auto const key = crypto::PublicKey::decode(body.signer.inline_public_key());
    if (!key || !key->verify(signed_part(bytes), signature)) {
        return fail(ErrorKind::not_allowed, "a membership entry has a wrong signature");
    }
    return {};
}

}  // namespace

std::string_view to_string(Role role)
{
    for (auto const& [value, name] : role_names) {
        if (value == role) {
            return name;
        }
    }
    return "unknown";
}

std::optional<Role> role_from(std::string_view name)
{
    for (auto const& [value, known] : role_names) {
        if (known == name) {
            return value;
        }
    }
    return std::nullopt;
}

bool is_usable_name(std::string_view name)
{
    return !name.empty() && name.size() <= max_name_bytes && is_printable_utf8(name);
}

Entry sign_entry(crypto::KeyPair const& identity, EntryBody body)
{
    PLEXUS_ASSERT(body.signer == security::peer_id_of(identity.public_key()));
    auto const bytes = encode(body);
    auto const signature = identity.sign(signed_part(bytes));
    auto envelope = ProtobufWriter().bytes(body_field, bytes).bytes(signature_field, signature).take();
    return {.id = crypto::sha256(bytes), .body = std::move(body), .bytes = std::move(envelope)};
}

Result<Entry> parse_entry(ByteView bytes)
{
    if (bytes.size() > max_entry_bytes) {
        return fail(ErrorKind::too_large, "a membership entry has {} bytes", bytes.size());
    }
    auto body_bytes = ByteView();
    auto signature = ByteView();
    auto const read = for_each_field(bytes, [&](ProtobufField const& field) -> Result<void> {
        (field.number == body_field ? body_bytes : signature) = field.bytes;
        auto const known = field.number == body_field || field.number == signature_field;
        return known ? Result<void>{} : fail(ErrorKind::malformed, "a membership entry has a foreign field");
    });
    if (!read) {
        return std::unexpected(read.error());
    }
    auto body = BodyParser().parse(body_bytes);
    if (!body) {
        return std::unexpected(body.error());
    }
    if (auto checked = check_signature(*body, body_bytes, signature); !checked) {
        return std::unexpected(checked.error());
    }
    // Kept in one form, so that equal entries are equal bytes everywhere.
    auto kept = ProtobufWriter().bytes(body_field, body_bytes).bytes(signature_field, signature).take();
    return Entry{.id = crypto::sha256(body_bytes), .body = std::move(*body), .bytes = std::move(kept)};
}

}  // namespace plexus::membership
