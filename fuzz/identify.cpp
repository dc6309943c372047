#include "host/identify.h"

using namespace plexus;
using namespace plexus::host;

/// Several messages, each with two bytes of length in front: what was merged keeps every limit and reads back the same.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto bytes = std::as_bytes(std::span(data, size));
    auto identify = Identify{};
    while (bytes.size() >= 2) {
        auto const length = std::min<std::size_t>(load_big_endian<std::uint16_t>(bytes.data()), bytes.size() - 2);
        auto const merged = merge(identify, bytes.subspan(2, length));
        bytes = bytes.subspan(2 + length);
        PLEXUS_ASSERT(identify.listen_addresses.size() <= max_identify_addresses);
        PLEXUS_ASSERT(identify.protocols.size() <= max_identify_protocols);
        PLEXUS_ASSERT(identify.agent.size() <= max_agent_bytes && identify.protocol_version.size() <= max_agent_bytes);
        if (!merged) {
            return 0;
        }
    }
    auto again = Identify{};
    PLEXUS_ASSERT(merge(again, encode(identify)));
    PLEXUS_ASSERT(encode(again) == encode(identify));
    return 0;
}
