#include "membership/code_message.h"

#include "crypto/digest.h"
#include "multiformats/protobuf.h"

namespace plexus::membership {

using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;

namespace {

constexpr auto channel_label = std::string_view("plexus-code/1");
constexpr auto joiner_label = std::string_view("plexus-code/1 joiner");
constexpr auto host_label = std::string_view("plexus-code/1 host");
constexpr std::size_t session_bytes = 32;
constexpr std::size_t max_text_bytes = 1024;

enum Field : std::uint32_t {
    kind_field = 1,
    name_field = 2,
    session_field = 3,
    share_field = 4,
    proof_field = 5,
    link_field = 6,
    refusal_field = 7,
    tries_field = 8,
};

Result<void> set_bytes(Bytes& target, ByteView bytes, std::size_t size)
{
    if (bytes.size() != size) {
        return fail(ErrorKind::malformed, "a field of a code message has {} bytes, not {}", bytes.size(), size);
    }
    target = to_bytes(bytes);
    return {};
}

Result<void> set_text(std::string& target, ByteView bytes)
{
    if (bytes.size() > max_text_bytes) {
        return fail(ErrorKind::malformed, "a text of a code message has {} bytes", bytes.size());
    }
    target = std::string(as_text(bytes));
    return {};
}

Result<void> take_field(CodeMessage& message, ProtobufField const& field)
{
    constexpr auto most = std::uint64_t{255};
    switch (field.number) {
    case kind_field: message.kind = static_cast<CodeMessage::Kind>(std::min(field.value, most)); return {};
    case name_field: return set_text(message.name, field.bytes);
    case session_field: return set_bytes(message.session, field.bytes, session_bytes);
    case share_field: return set_bytes(message.share, field.bytes, crypto::Cpace::share_size);
    case proof_field: return set_bytes(message.proof, field.bytes, crypto::Digest32::size);
    case link_field: return set_text(message.link, field.bytes);
    case refusal_field: message.refusal = static_cast<CodeRefusal>(std::min(field.value, most)); return {};
    case tries_field: message.tries_left = std::min(field.value, most); return {};
    default: return {};
    }
}

bool is_complete(CodeMessage const& message)
{
    using Kind = CodeMessage::Kind;
    switch (message.kind) {
    case Kind::hello: return is_usable_name(message.name) && !message.session.empty() && !message.share.empty();
    case Kind::challenge: return !message.share.empty();
    case Kind::proof: return !message.proof.empty();
    case Kind::link: return !message.proof.empty() && !message.link.empty();
    case Kind::refused: return true;
    }
    return false;
}

}  // namespace

Bytes encode(CodeMessage const& message)
{
    auto writer = ProtobufWriter();
    writer.varint(kind_field, static_cast<std::uint64_t>(message.kind));
    auto const put = [&](std::uint32_t field, ByteView bytes) {
        if (!bytes.empty()) {
            writer.bytes(field, bytes);
        }
    };
    put(name_field, as_view(message.name));
    put(session_field, message.session);
    put(share_field, message.share);
    put(proof_field, message.proof);
    put(link_field, as_view(message.link));
    if (message.kind == CodeMessage::Kind::refused) {
        writer.varint(refusal_field, static_cast<std::uint64_t>(message.refusal))
            .varint(tries_field, message.tries_left);
    }
    return writer.take();
}

Result<CodeMessage> decode_code(ByteView bytes)
{
    auto message = CodeMessage{};
    auto const read = for_each_field(bytes, [&](ProtobufField const& field) { return take_field(message, field); });
    if (!read) {
        return std::unexpected(read.error());
    }
    if (!is_complete(message)) {
        return fail(ErrorKind::malformed, "a code message is not complete");
    }
    return message;
}

crypto::Cpace CodeExchange::half(std::string_view digits, crypto::Secret32 random) const
{
    auto context = crypto::Cpace::Context{.channel = to_bytes(channel_label), .session = session};
    // Both ids are text of one length or another, and no id is the beginning of another one with more behind.
    append(context.channel, as_view("|" + joiner.text() + "|" + host.text()));
    return crypto::Cpace(as_view(digits), context, std::move(random));
}

Result<crypto::Digest32> CodeExchange::proof_of(Side side, crypto::Cpace const& own) const
{
    auto const key = own.key(joiner_share, as_view(name), host_share, {});
    if (!key) {
        return std::unexpected(key.error());
    }
    return crypto::hmac_sha256(key->bytes(), as_view(side == Side::joiner ? joiner_label : host_label));
}

std::optional<std::string> digits_of(std::string_view text)
{
    auto digits = std::string{};
    for (auto const letter : text) {
        if (letter >= '0' && letter <= '9') {
            digits += letter;
        } else if (letter != ' ' && letter != '-') {
            return std::nullopt;
        }
    }
    return digits.size() == code_digits ? std::optional(digits) : std::nullopt;
}

}  // namespace plexus::membership
