#include "crypto/keys.h"

using namespace plexus;
using namespace plexus::crypto;

/// What is accepted is written back byte by byte; no signature made of its own bytes fits it.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const key = PublicKey::decode(bytes);
    if (!key) {
        return 0;
    }
    PLEXUS_ASSERT(size <= PublicKey::max_bytes);
    PLEXUS_ASSERT(std::ranges::equal(key->encode(), bytes));
    PLEXUS_ASSERT(!key->verify(as_view("plexus"), bytes));
    return 0;
}
