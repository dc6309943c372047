#include "multiformats/protobuf.h"

namespace plexus::multiformats {

namespace {

constexpr std::size_t max_protobuf_varint_bytes = 10;
constexpr std::uint64_t max_field_number = (1U << 29) - 1;

void append_plain_varint(Bytes& target, std::uint64_t value)
{
    while (value >= 0x80) {
        target.push_back(static_cast<std::byte>(value | 0x80));
        value >>= 7;
    }
    target.push_back(static_cast<std::byte>(value));
}

}  // namespace

Result<std::uint64_t> ProtobufReader::varint()
{
    std::uint64_t value = 0;
    for (std::size_t index = 0; index < std::min(rest_.size(), max_protobuf_varint_bytes); ++index) {
        auto const bits = std::to_integer<std::uint64_t>(rest_[index]);
        if (index == max_protobuf_varint_bytes - 1 && bits > 1) {
            return fail(ErrorKind::malformed, "a protobuf number does not fit 64 bits");
        }
        value |= (bits & 0x7f) << (7 * index);
        if (bits < 0x80) {
            rest_ = rest_.subspan(index + 1);
            return value;
        }
    }
    return fail(ErrorKind::malformed, "a protobuf number is cut off");
}

Result<ByteView> ProtobufReader::take(std::uint64_t count)
{
    if (count > rest_.size()) {
        return fail(ErrorKind::malformed, "a protobuf field of {} bytes has {} left", count, rest_.size());
    }
    auto const taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
}

Result<std::optional<ProtobufField>> ProtobufReader::next()
{
    if (rest_.empty()) {
        return std::optional<ProtobufField>{};
    }
    auto const tag = varint();
    if (!tag) {
        return std::unexpected(tag.error());
    }
    auto const number = *tag >> 3;
    if (number == 0 || number > max_field_number) {
        return fail(ErrorKind::malformed, "a protobuf field has number {}", number);
    }
    auto field = ProtobufField{.number = static_cast<std::uint32_t>(number)};
    auto const wire_type = *tag & 7;
    if (wire_type == 0) {
        auto const value = varint();
        if (!value) {
            return std::unexpected(value.error());
        }
        field.value = *value;
        return field;
    }
    if (wire_type != 1 && wire_type != 2 && wire_type != 5) {
        return fail(ErrorKind::malformed, "a protobuf field has wire type {}", wire_type);
    }
    auto count = Result<std::uint64_t>(wire_type == 1 ? 8 : 4);
    if (wire_type == 2) {
        count = varint();
    }
    auto const body = and_then(count, [this](std::uint64_t bytes) { return take(bytes); });
    if (!body) {
        return std::unexpected(body.error());
    }
    if (wire_type == 2) {
        field.type = ProtobufField::Type::bytes;
        field.bytes = *body;
    } else if (wire_type == 1) {
        field.type = ProtobufField::Type::fixed64;
        field.value = load_little_endian<std::uint64_t>(body->data());
    } else {
        field.type = ProtobufField::Type::fixed32;
        field.value = load_little_endian<std::uint32_t>(body->data());
    }
    return field;
}

ProtobufWriter& ProtobufWriter::varint(std::uint32_t field, std::uint64_t value)
{
    append_plain_varint(message_, std::uint64_t{field} << 3);
    append_plain_varint(message_, value);
    return *this;
}

ProtobufWriter& ProtobufWriter::bytes(std::uint32_t field, ByteView value)
{
    append_plain_varint(message_, (std::uint64_t{field} << 3) | 2);
    append_plain_varint(message_, value.size());
    append(message_, value);
    return *this;
}

}  // namespace plexus::multiformats
