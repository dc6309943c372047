#include "api/completion_answer.h"
#include "api/completion_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// What passes the edge gives one JSON body a choice, within the limits; chunks never break the answer.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const request = parse_completion_request(text)) {
        PLEXUS_ASSERT(!request->tasks.empty() && request->tasks.size() <= max_completions);
        PLEXUS_ASSERT(request->echoes.size() == request->tasks.size());
        for (auto const& task : request->tasks) {
            PLEXUS_ASSERT(parse_object(task.body).has_value());
            PLEXUS_ASSERT(task.model == request->model);
        }
    }
    auto answer = CompletionAnswer({"id", 0, "m"}, {"echo"}, 1);
    std::ignore = answer.add(text);
    answer.next_choice();
    std::ignore = answer.add(text);
    PLEXUS_ASSERT(parse_object(answer.finish()).has_value() || size > 0);
    return 0;
}
