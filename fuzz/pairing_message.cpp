#include "membership/messages.h"
#include "membership/entry.h"

using namespace plexus;
using namespace plexus::membership;

namespace {

void check(SyncMessage const& message)
{
    PLEXUS_ASSERT(message.heads.size() <= max_entries && message.entries.size() <= max_entries);
    PLEXUS_ASSERT(message.hints.size() <= max_hints);
    for (auto const& entry : message.entries) {
        PLEXUS_ASSERT(entry.size() <= max_entry_bytes);
    }
    for (auto const& hint : message.hints) {
        PLEXUS_ASSERT(!hint.device.empty() && hint.addresses.size() <= max_addresses_per_device);
    }
    auto const written = encode(message);
    auto const again = decode_sync(written);
    PLEXUS_ASSERT(again && encode(*again) == written);
}

}  // namespace

/// The messages of both protocols of membership: what is accepted keeps every limit and is the same after it was
/// written and read again.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const input = std::as_bytes(std::span(data, size));
    if (auto const message = decode_sync(input)) {
        check(*message);
    }
    auto const message = decode_pairing(input);
    if (!message) {
        return 0;
    }
    check(message->mesh);
    PLEXUS_ASSERT(message->kind != PairingMessage::Kind::hello || is_usable_name(message->name));
    auto const written = encode(*message);
    auto const again = decode_pairing(written);
    PLEXUS_ASSERT(again && again->kind == message->kind && encode(*again) == written);
    return 0;
}
