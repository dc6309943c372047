#include "discovery/dns_message.h"

using namespace plexus;
using namespace plexus::discovery;

/// What is read and can be written is read again as the same.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const message = parse_dns_message(std::as_bytes(std::span(data, size)));
    if (!message) {
        return 0;
    }
    auto const written = write_dns_message(*message);
    if (written.size() <= max_dns_message_bytes) {
        auto const again = parse_dns_message(written);
        PLEXUS_ASSERT(again && *again == *message);
    }
    return 0;
}
