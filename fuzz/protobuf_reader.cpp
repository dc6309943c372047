#include "multiformats/protobuf.h"

using namespace plexus;
using namespace plexus::multiformats;

namespace {

struct Field {
    std::uint32_t number;
    std::uint64_t value;
    Bytes bytes;
    bool operator==(Field const&) const = default;
};

/// Fields of the kinds that the writer knows; nothing if the message is malformed.
std::optional<std::vector<Field>> fields_of(ByteView message)
{
    auto fields = std::vector<Field>{};
    auto const read = for_each_field(message, [&](ProtobufField const& field) -> Result<void> {
        PLEXUS_ASSERT(field.number > 0);
        if (field.type == ProtobufField::Type::bytes || field.type == ProtobufField::Type::varint) {
            PLEXUS_ASSERT(field.bytes.empty() ||
                          (field.bytes.data() >= message.data() &&
                           field.bytes.data() + field.bytes.size() <= message.data() + message.size()));
            fields.push_back({field.number, field.value, to_bytes(field.bytes)});
        }
        return {};
    });
    return read ? std::optional(fields) : std::nullopt;
}

}  // namespace

/// Every field lies within the message, and what the writer makes of the fields reads the same.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const message = std::as_bytes(std::span(data, size));
    auto reader = ProtobufReader(message);
    auto writer = ProtobufWriter{};
    for (auto field = reader.next(); field && *field; field = reader.next()) {
        if ((*field)->type == ProtobufField::Type::bytes) {
            writer.bytes((*field)->number, (*field)->bytes);
        } else if ((*field)->type == ProtobufField::Type::varint) {
            writer.varint((*field)->number, (*field)->value);
        }
    }
    auto const fields = fields_of(message);
    PLEXUS_ASSERT(!fields || fields_of(writer.take()) == fields);
    return 0;
}
