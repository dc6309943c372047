#include "api/rerank_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// What passes the edge passes it again as the task; documents of an engine never break the answer.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const request = parse_rerank_request(text)) {
        auto const again = parse_rerank_request(request->task_body);
        PLEXUS_ASSERT(again && again->documents == request->documents && again->wanted == request->wanted);
    }
    auto const asked = RerankRequest{.model = "m", .documents = {"a", "b"}, .wanted = 2, .with_documents = true};
    if (auto const answer = rerank_answer(asked, "id", text)) {
        PLEXUS_ASSERT(!answer->empty());
    }
    return 0;
}
