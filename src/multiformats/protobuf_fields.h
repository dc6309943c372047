#pragma once

#include <optional>

#include "base/checked.h"
#include "multiformats/protobuf.h"

/// Taking what a field of a hostile message holds, within bounds. Errors of all: `malformed` for a field of another type
/// or a number that does not fit, `too_large` over `limit`.
namespace plexus::multiformats {

Result<ByteView> bytes_of(ProtobufField const& field, std::size_t limit);

Result<void> take_text(ProtobufField const& field, std::size_t limit, std::string& target);
/// Printable ASCII only, the rest is left out: it stands in logs and terminals.
Result<void> take_plain_text(ProtobufField const& field, std::size_t limit, std::string& target);

template <typename T>
Result<void> take_number(ProtobufField const& field, T& target)
{
    auto const number = checked_cast<T>(field.value);
    if (field.type != ProtobufField::Type::varint || !number) {
        return fail(ErrorKind::malformed, "a number of a message does not fit");
    }
    target = *number;
    return {};
}

/// A T whose fields `merge(T&, ProtobufField const&)` takes one by one.
template <typename T, typename Merge>
Result<T> decode_message(ByteView message, Merge merge)
{
    auto value = T{};
    auto merged = for_each_field(message, [&](ProtobufField const& field) { return merge(value, field); });
    if (!merged) {
        return std::unexpected(merged.error());
    }
    return value;
}

/// The same for the one alternative that a message may hold. Errors also: `malformed` if one was there before.
template <typename T, typename Variant, typename Merge>
Result<void> take_alternative(ByteView inner, std::optional<Variant>& taken, Merge merge)
{
    if (taken) {
        return fail(ErrorKind::malformed, "a message says two things at once");
    }
    auto decoded = decode_message<T>(inner, merge);
    if (!decoded) {
        return std::unexpected(decoded.error());
    }
    taken = std::move(*decoded);
    return {};
}

}  // namespace plexus::multiformats
