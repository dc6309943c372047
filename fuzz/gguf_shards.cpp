#include "models/gguf_testing.h"
#include "models/shards.h"

using namespace plexus;
using namespace plexus::models;

/// The input as the only shard, and as both of two.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const file = std::make_shared<MemoryFile>(to_bytes(std::as_bytes(std::span(data, size))));
    for (auto const count : {1, 2}) {
        auto const joined = join_shards(std::vector<std::shared_ptr<File const>>(count, file));
        if (!joined) {
            continue;
        }
        PLEXUS_ASSERT((*joined)->size() <= count * (size + 2 * max_alignment));
        auto whole = Bytes((*joined)->size() + 1);
        PLEXUS_ASSERT((*joined)->read_at(0, whole).value() == (*joined)->size());
        PLEXUS_ASSERT(read_gguf_header(**joined).has_value());
    }
    return 0;
}
