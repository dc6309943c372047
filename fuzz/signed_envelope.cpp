#include "security/envelope.h"
#include "security/identity.h"

using namespace plexus;
using namespace plexus::security;

namespace {

crypto::KeyPair const& identity()
{
    static auto const key = [] {
        auto const bytes = Bytes(32, std::byte{1});
        return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
    }();
    return key;
}

/// The bytes as the payload of a record that its peer did sign.
void check_record(ByteView payload)
{
    auto const sealed = seal_envelope(identity(), peer_record_use, payload);
    auto const opened = open_envelope(sealed, peer_record_use);
    PLEXUS_ASSERT(opened.has_value() == (sealed.size() <= max_envelope_bytes));
    PLEXUS_ASSERT(!open_envelope(sealed, relay_voucher_use));
    auto const record = open_peer_record(sealed);
    if (!record) {
        return;
    }
    PLEXUS_ASSERT(record->peer == peer_id_of(identity().public_key()));
    PLEXUS_ASSERT(record->addresses.size() <= max_record_addresses);
    auto const again = open_peer_record(seal_peer_record(identity(), *record));
    PLEXUS_ASSERT(again && again->sequence == record->sequence && again->addresses == record->addresses);
}

}  // namespace

/// The bytes as envelope: an accepted one is small and does not serve another use. Then as the payload of a true one.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    if (open_envelope(bytes, peer_record_use)) {
        PLEXUS_ASSERT(size <= max_envelope_bytes && !open_envelope(bytes, relay_voucher_use));
        std::ignore = open_peer_record(bytes);
    }
    check_record(bytes);
    return 0;
}
