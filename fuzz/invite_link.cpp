#include "membership/invite_link.h"
#include "multiformats/multibase.h"

using namespace plexus;
using namespace plexus::membership;

namespace {

void check(std::string_view text)
{
    auto const link = InviteLink::parse(text);
    if (!link) {
        return;
    }
    PLEXUS_ASSERT(link->secret.size() == secret_bytes && link->invite_id.size() == invite_id_bytes);
    PLEXUS_ASSERT(!link->addresses.empty() && link->addresses.size() <= max_addresses_per_device);
    auto const again = InviteLink::parse(link->text());
    PLEXUS_ASSERT(again && again->text() == link->text() && again->device == link->device);
    PLEXUS_ASSERT(again->addresses == link->addresses && again->expires == link->expires);
}

}  // namespace

/// The input as a whole link, and as the message in one with a right check value.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const input = std::as_bytes(std::span(data, size));
    check(as_text(input));
    auto message = to_bytes(input);
    append(message, crypto::sha256(input).bytes().first(4));
    check("plexus://join/" + multiformats::to_base64url(message));
    return 0;
}
