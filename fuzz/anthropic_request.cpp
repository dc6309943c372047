#include "api/anthropic_answer.h"
#include "api/anthropic_request.h"
#include "api/chat_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

namespace {

/// The same chunk as a whole answer and as a stream. What is written can be read; the stream is whole events.
void answer(std::string const& chunk, AnthropicRequest const& request, bool stream)
{
    auto dialect = AnthropicDialect({.model = request.model,
                                     .request_id = "req_1",
                                     .stream = stream,
                                     .prefill = request.prefill,
                                     .shows_thinking = request.shows_thinking,
                                     .left_out = request.left_out});
    auto written = dialect.begin();
    for (auto again = 0; again < 2; ++again) {
        written += dialect.chunk(chunk).value_or("");
    }
    written += dialect.end();
    PLEXUS_ASSERT(written.starts_with("event: message_start\n") && written.ends_with("\n\n"));
    PLEXUS_ASSERT(parse_object(dialect.whole().body).has_value());
}

}  // namespace

/// What passes the edge is a chat body that passes OpenAI's edge too.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    auto request = parse_anthropic_request(text, AnthropicUse::message);
    if (request) {
        auto const chat = parse_chat_request(request->task_body);
        // A schema that is nested to the limit is nested deeper there.
        PLEXUS_ASSERT(chat.has_value() || chat.error().code == "malformed");
        PLEXUS_ASSERT(!chat || (chat->model == request->model && chat->stream));
        PLEXUS_ASSERT(parse_anthropic_request(text, AnthropicUse::count).has_value());
    }
    auto const options = request.value_or(AnthropicRequest{.model = "m", .task_body = ""});
    answer(std::string(text), options, true);
    answer(std::string(text), options, false);
    auto count = AnthropicCountDialect("req_1", {});
    std::ignore = count.chunk(std::string(text));
    PLEXUS_ASSERT(parse_object(count.whole().body).has_value());
    return 0;
}
