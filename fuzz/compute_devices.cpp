// What an engine says of the devices that it found: what is accepted is written the same way again, and keeps its limits.
#include <cstdint>

#include "stream/compute_devices.h"

using namespace plexus;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = std::string_view(reinterpret_cast<char const*>(data), size);
    if (auto const found = stream::parse_compute_devices(text)) {
        PLEXUS_ASSERT(found->devices.size() <= stream::max_compute_devices);
        PLEXUS_ASSERT(stream::parse_compute_devices(stream::to_text(*found)) == found);
    }
    return 0;
}
