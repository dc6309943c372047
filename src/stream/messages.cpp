#include "stream/messages.h"

namespace plexus::stream {

namespace {

constexpr std::size_t max_length_bytes = 5;
constexpr std::size_t first_chunk = 16 * 1024;

Task<Result<std::uint64_t>> read_length(ByteStream& stream)
{
    std::uint64_t value = 0;
    for (std::size_t index = 0; index < max_length_bytes; ++index) {
        auto byte = std::array<std::byte, 1>{};
        auto const count = co_await stream.read_some(byte);
        if (!count) {
            co_return std::unexpected(count.error());
        }
        if (*count == 0) {
            co_return index == 0 ? fail(ErrorKind::closed, "the stream has ended")
                                 : fail(ErrorKind::malformed, "the stream ended within a message");
        }
        auto const bits = std::to_integer<std::uint64_t>(byte[0]);
        value |= (bits & 0x7f) << (7 * index);
        if (bits < 0x80) {
            if (bits == 0 && index > 0) {
                break;
            }
            co_return value;
        }
    }
    co_return fail(ErrorKind::malformed, "a message length is not a proper varint");
}

}  // namespace

Task<Result<void>> read_exactly(ByteStream& stream, MutableByteView target)
{
    std::size_t filled = 0;
    while (filled < target.size()) {
        auto const count = co_await stream.read_some(target.subspan(filled));
        if (!count) {
            co_return std::unexpected(count.error());
        }
        if (*count == 0) {
            co_return filled == 0 ? fail(ErrorKind::closed, "the stream has ended")
                                  : fail(ErrorKind::malformed, "the stream ended within a message");
        }
        filled += *count;
    }
    co_return Result<void>{};
}

Task<Result<Bytes>> read_message(ByteStream& stream, std::size_t limit)
{
    auto const length = co_await read_length(stream);
    if (!length) {
        co_return std::unexpected(length.error());
    }
    if (*length > limit) {
        co_return fail(ErrorKind::too_large, "a message of {} bytes, at most {} are read", *length, limit);
    }
    auto message = Bytes{};
    std::size_t chunk = first_chunk;
    while (message.size() < *length) {
        auto const have = message.size();
        message.resize(std::min<std::size_t>(*length, have + chunk));
        chunk *= 2;
        auto const rest = MutableByteView(message).subspan(have);
        auto const read = co_await read_exactly(stream, rest);
        if (!read) {
            co_return fail(read.error().kind == ErrorKind::closed ? ErrorKind::malformed : read.error().kind,
                           "the stream ended within a message");
        }
    }
    co_return message;
}

Bytes frame_message(ByteView message)
{
    auto framed = Bytes{};
    framed.reserve(message.size() + max_length_bytes);
    auto size = message.size();
    for (; size >= 0x80; size >>= 7) {
        framed.push_back(static_cast<std::byte>(size | 0x80));
    }
    framed.push_back(static_cast<std::byte>(size));
    append(framed, message);
    return framed;
}

Task<Result<void>> write_message(ByteStream& stream, ByteView message)
{
    auto const framed = frame_message(message);
    co_return co_await stream.write(framed);
}

}  // namespace plexus::stream
