#include "multiformats/protobuf_fields.h"

namespace plexus::multiformats {

Result<ByteView> bytes_of(ProtobufField const& field, std::size_t limit)
{
    if (field.type != ProtobufField::Type::bytes) {
        return fail(ErrorKind::malformed, "a field of a message has the wrong type");
    }
    if (field.bytes.size() > limit) {
        return fail(ErrorKind::too_large, "a field of a message has {} bytes", field.bytes.size());
    }
    return field.bytes;
}

Result<void> take_text(ProtobufField const& field, std::size_t limit, std::string& target)
{
    auto const bytes = bytes_of(field, limit);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    target = as_text(*bytes);
    return {};
}

Result<void> take_plain_text(ProtobufField const& field, std::size_t limit, std::string& target)
{
    auto taken = take_text(field, limit, target);
    std::erase_if(target, [](char character) { return character < ' ' || character > '~'; });
    return taken;
}

}  // namespace plexus::multiformats
