#include "multiformats/peer_id.h"

using namespace plexus;
using namespace plexus::multiformats;

namespace {

void check(PeerId const& id)
{
    auto const binary = PeerId::from_bytes(id.bytes());
    PLEXUS_ASSERT(binary && *binary == id);
    auto const text = PeerId::from_text(id.text());
    PLEXUS_ASSERT(text && *text == id);
    if (auto const key = id.inline_public_key(); !key.empty()) {
        PLEXUS_ASSERT(key.size() <= PeerId::max_inline_key);
        PLEXUS_ASSERT(PeerId::from_public_key(key).value() == id);
    }
}

}  // namespace

/// The bytes as multihash, as text and as key: what is accepted survives every form.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    for (auto const& id :
         {PeerId::from_bytes(bytes), PeerId::from_text(as_text(bytes)), PeerId::from_public_key(bytes)}) {
        if (id) {
            check(*id);
        }
    }
    return 0;
}
