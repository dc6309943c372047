#include "catalog/snapshot.h"

using namespace plexus;
using namespace plexus::catalog;

/// What is accepted keeps every limit and is the same after it was written and read again.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const snapshot = decode_snapshot(std::as_bytes(std::span(data, size)));
    if (!snapshot) {
        return 0;
    }
    PLEXUS_ASSERT(snapshot->models.size() <= max_models);
    auto const written = encode(*snapshot);
    PLEXUS_ASSERT(written.size() <= max_snapshot_bytes);
    auto const again = decode_snapshot(written);
    PLEXUS_ASSERT(again && *again == *snapshot);
    return 0;
}
