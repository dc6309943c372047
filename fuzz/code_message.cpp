#include "membership/code_message.h"

using namespace plexus;
using namespace plexus::membership;

/// What is accepted keeps every limit and is the same after it was written and read again.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const message = decode_code(std::as_bytes(std::span(data, size)));
    if (!message) {
        return 0;
    }
    PLEXUS_ASSERT(message->kind != CodeMessage::Kind::hello || is_usable_name(message->name));
    PLEXUS_ASSERT(message->share.empty() || message->share.size() == crypto::Cpace::share_size);
    auto const written = encode(*message);
    auto const again = decode_code(written);
    PLEXUS_ASSERT(again && again->kind == message->kind && encode(*again) == written);
    return 0;
}
