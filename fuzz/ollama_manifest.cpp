#include "models/foreign.h"

using namespace plexus;
using namespace plexus::models;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const layer = read_ollama_manifest(as_text(std::as_bytes(std::span(data, size))));
    PLEXUS_ASSERT(!layer || layer->size_bytes > 0);
    PLEXUS_ASSERT(layer || layer.error().kind == ErrorKind::malformed);
    return 0;
}
