#include "api/chat_answer.h"
#include "api/chat_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// What passes the edge passes it again after it was rewritten; the chunks of an answer never break what is made of them.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const request = parse_chat_request(text)) {
        auto const again = parse_chat_request(request->task_body);
        PLEXUS_ASSERT(again.has_value());
        PLEXUS_ASSERT(again->model == request->model);
        PLEXUS_ASSERT(again->stream && again->other_bodies.empty());
        PLEXUS_ASSERT(request->other_bodies.size() < max_choices);
    }
    auto assembler = AnswerAssembler();
    std::ignore = assembler.add(text);
    assembler.next_choice();
    std::ignore = assembler.add(text);
    PLEXUS_ASSERT(!assembler.finish().empty());
    for (auto const has_choices : {false, true}) {
        auto writer = ChunkWriter(has_choices, false);
        std::ignore = writer.write(std::string(text));
        writer.next_choice();
        std::ignore = writer.write(std::string(text));
        PLEXUS_ASSERT(writer.last().empty());
    }
    return 0;
}
