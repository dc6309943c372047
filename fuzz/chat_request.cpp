#include "api/chat_answer.h"
#include "api/chat_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// What passes the edge passes it again after it was rewritten; the chunks of an answer never break the assembler.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const request = parse_chat_request(text)) {
        auto const again = parse_chat_request(request->task_body);
        PLEXUS_ASSERT(again.has_value());
        PLEXUS_ASSERT(again->model == request->model);
        PLEXUS_ASSERT(again->stream);
    }
    auto assembler = AnswerAssembler();
    std::ignore = assembler.add(text);
    std::ignore = assembler.add(text);
    PLEXUS_ASSERT(!assembler.finish().empty());
    std::ignore = chunk_for_client(std::string(text), false);
    return 0;
}
