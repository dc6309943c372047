#include "multiformats/varint.h"

using namespace plexus;
using namespace plexus::multiformats;

/// What is accepted is the one shortest encoding, and a part of it is never accepted.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const read = read_varint(bytes);
    auto rest = bytes;
    auto const taken = take_varint(rest);
    PLEXUS_ASSERT(taken.has_value() == (read && *read));
    if (!read || !*read) {
        return 0;
    }
    auto const [value, length] = **read;
    PLEXUS_ASSERT(*taken == value && rest.size() == size - length);
    PLEXUS_ASSERT(length <= max_varint_bytes && length == varint_size(value));
    auto written = Bytes{};
    append_varint(written, value);
    PLEXUS_ASSERT(std::ranges::equal(written, bytes.first(length)));
    auto const cut = read_varint(bytes.first(length - 1));
    PLEXUS_ASSERT(cut && !*cut);
    return 0;
}
