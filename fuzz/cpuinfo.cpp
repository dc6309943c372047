#include "catalog/hardware.h"

using namespace plexus;
using namespace plexus::catalog;

/// Whatever /proc says, names are short and printable and memory adds up.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    auto const processor = parse_cpuinfo(text);
    PLEXUS_ASSERT(processor.name.size() <= max_text_bytes);
    PLEXUS_ASSERT(std::ranges::all_of(processor.name, [](char c) { return c >= ' ' && c <= '~'; }));
    PLEXUS_ASSERT(processor.cores <= size / 2);
    auto const memory = parse_meminfo(text);
    PLEXUS_ASSERT(memory.available_bytes <= memory.total_bytes);
    return 0;
}
