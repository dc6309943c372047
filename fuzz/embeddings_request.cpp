#include "api/embeddings_answer.h"
#include "api/embeddings_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// What passes the edge passes it again task by task; documents of an engine never break the answer.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const request = parse_embeddings_request(text)) {
        PLEXUS_ASSERT(!request->tasks.empty() &&
                      request->tasks.size() * inputs_of_task < max_embedded_inputs + inputs_of_task);
        for (auto const& task : request->tasks) {
            PLEXUS_ASSERT(parse_embeddings_request(task.body).has_value());
        }
    }
    auto answer = EmbeddingsAnswer();
    if (answer.add(text) && answer.add(text)) {
        PLEXUS_ASSERT(!answer.finish("m", true).empty());
        std::ignore = answer.shorten(2);
        PLEXUS_ASSERT(!answer.finish("m", false).empty());
    }
    return 0;
}
