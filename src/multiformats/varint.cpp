#include "multiformats/varint.h"

namespace plexus::multiformats {

void append_varint(Bytes& target, std::uint64_t value)
{
    while (value >= 0x80) {
        target.push_back(static_cast<std::byte>(value | 0x80));
        value >>= 7;
    }
    target.push_back(static_cast<std::byte>(value));
}

std::size_t varint_size(std::uint64_t value)
{
    std::size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        ++size;
    }
    return size;
}

Result<std::optional<Varint>> read_varint(ByteView bytes)
{
    auto varint = Varint{};
    for (auto byte : bytes.first(std::min(bytes.size(), max_varint_bytes))) {
        auto const bits = std::to_integer<std::uint64_t>(byte);
        varint.value |= (bits & 0x7f) << (7 * varint.size);
        ++varint.size;
        if (bits < 0x80) {
            if (bits == 0 && varint.size > 1) {
                return fail(ErrorKind::malformed, "a varint is longer than needed");
            }
            return varint;
        }
    }
    if (varint.size == max_varint_bytes) {
        return fail(ErrorKind::malformed, "a varint is longer than nine bytes");
    }
    return std::optional<Varint>{};
}

Result<std::uint64_t> take_varint(ByteView& bytes)
{
    auto const varint = read_varint(bytes);
    if (!varint) {
        return std::unexpected(varint.error());
    }
    if (!*varint) {
        return fail(ErrorKind::malformed, "a varint is cut off");
    }
    bytes = bytes.subspan((*varint)->size);
    return (*varint)->value;
}

}  // namespace plexus::multiformats
