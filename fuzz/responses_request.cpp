#include "api/responses_answer.h"
#include "api/responses_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

namespace json = boost::json;

/// What passes the edge becomes a chat request that passes there too; chunks of an engine never break a response.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const request = parse_responses_request(text)) {
        if (auto const chat = chat_request_from(*request, request->items)) {
            PLEXUS_ASSERT(parse_chat_request(chat->task_body).has_value());
            PLEXUS_ASSERT(chat->model == request->model && chat->other_bodies.empty());
        }
    }
    auto writer = ResponseWriter(json::object{{"id", "resp_1"}}, "1");
    std::ignore = writer.begin();
    std::ignore = writer.add(text);
    std::ignore = writer.add(text);
    PLEXUS_ASSERT(writer.end(0).ends_with("\n\n"));
    PLEXUS_ASSERT(writer.response().at("output").is_array());
    return 0;
}
