#include "scheduling/continuation.h"

using namespace plexus;
using namespace plexus::scheduling;

namespace {

void check_start(ByteView bytes)
{
    auto const start = decode_start(bytes);
    if (!start) {
        return;
    }
    PLEXUS_ASSERT(start->body.size() <= max_body_bytes);
    auto const written = encode(*start);
    PLEXUS_ASSERT(written.size() <= max_start_bytes);
    auto const again = decode_start(written);
    PLEXUS_ASSERT(again && *again == *start);
}

/// Replies, each with two bytes of length in front: what is accepted keeps the order of the protocol.
void check_replies(ByteView bytes)
{
    auto reader = ReplyReader{};
    auto accepted = false;
    auto over = false;
    std::uint64_t chunks = 0;
    auto answer = Continuation{};
    while (bytes.size() >= 2) {
        auto const size = std::min<std::size_t>(load_big_endian<std::uint16_t>(bytes.data()), bytes.size() - 2);
        auto const reply = reader.take(bytes.subspan(2, size));
        bytes = bytes.subspan(2 + size);
        if (!reply) {
            return;
        }
        auto const failed = std::holds_alternative<Failed>(*reply);
        PLEXUS_ASSERT(!over);
        PLEXUS_ASSERT(failed || std::holds_alternative<Accepted>(*reply) != accepted);
        if (auto const* chunk = std::get_if<Chunk>(&*reply)) {
            PLEXUS_ASSERT(chunk->sequence == chunks++);
            PLEXUS_ASSERT(chunk->tokens.size() <= inference::max_part_tokens);
            answer.note(*chunk);
            std::ignore = answer.body(R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":9})");
        }
        accepted = true;
        over = failed || std::holds_alternative<Done>(*reply);
        PLEXUS_ASSERT(encode(*reply).size() <= max_reply_bytes);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    check_start(bytes);
    check_replies(bytes);
    return 0;
}
