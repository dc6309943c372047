#pragma once

#include <optional>

#include "base/bytes.h"

namespace plexus::multiformats {

/// One field of a protobuf message as it stands on the wire.
struct ProtobufField {
    std::uint32_t number = 0;
    enum class Type { varint, fixed64, bytes, fixed32 } type = Type::varint;
    std::uint64_t value = 0;  ///< of varint, fixed64 and fixed32
    ByteView bytes{};         ///< of bytes; borrowed from the message
};

/// Walks the fields of a hostile message without setting memory aside. Unknown fields are the caller's to skip.
/// Spec: protobuf encoding; varints of up to ten bytes, not necessarily minimal.
class ProtobufReader {
public:
    explicit ProtobufReader(ByteView message) : rest_(message) {}

    /// The next field, or nothing at the end. Errors: `malformed` (cut off, field 0, groups, overlong varint).
    Result<std::optional<ProtobufField>> next();

private:
    Result<std::uint64_t> varint();
    Result<ByteView> take(std::uint64_t count);

    ByteView rest_;
};

/// Hands every field of `message` to `take`, a function to Result<void>, until that fails.
template <typename Take>
Result<void> for_each_field(ByteView message, Take take)
{
    auto reader = ProtobufReader(message);
    for (;;) {
        auto const field = reader.next();
        if (!field) {
            return std::unexpected(field.error());
        }
        if (!*field) {
            return {};
        }
        if (Result<void> taken = take(**field); !taken) {
            return taken;
        }
    }
}

/// Writes fields in the order of the calls.
class ProtobufWriter {
public:
    ProtobufWriter& varint(std::uint32_t field, std::uint64_t value);
    ProtobufWriter& bytes(std::uint32_t field, ByteView value);
    ProtobufWriter& text(std::uint32_t field, std::string_view value) { return bytes(field, as_view(value)); }

    Bytes take() { return std::move(message_); }

private:
    Bytes message_;
};

}  // namespace plexus::multiformats
