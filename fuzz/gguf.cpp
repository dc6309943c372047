#include "models/gguf.h"
#include "models/gguf_testing.h"

using namespace plexus;
using namespace plexus::models;

/// Whatever is accepted does not claim more than the file holds.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const summary = check_gguf(MemoryFile(to_bytes(std::as_bytes(std::span(data, size)))));
    if (!summary) {
        PLEXUS_ASSERT(!summary.error().text.empty() && summary.error().text.size() < 2000);
        return 0;
    }
    PLEXUS_ASSERT(summary->version == 2 || summary->version == 3);
    PLEXUS_ASSERT(summary->tensors <= max_tensors);
    PLEXUS_ASSERT(summary->weight_bytes <= size);
    PLEXUS_ASSERT(summary->architecture.size() + summary->name.size() + summary->tokenizer.size() <= size);
    std::ignore = summary->cache_bytes_per_token();
    return 0;
}
