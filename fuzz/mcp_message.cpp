#include "api/mcp_message.h"
#include "api/mcp_tools.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// The body up to a zero byte, then the three headers, divided by line feeds: what is refused is refused as JSON-RPC,
/// what is served can be answered.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto text = as_text(std::as_bytes(std::span(data, size)));
    auto const body = text.substr(0, text.find('\0'));
    text.remove_prefix(std::min(text.size(), body.size() + 1));
    auto request = Request{.method = "POST", .target = "/mcp", .headers = {}, .body = std::string(body)};
    for (auto const* name : {"mcp-protocol-version", "mcp-method", "mcp-name"}) {
        auto const value = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), value.size() + 1));
        if (!value.empty()) {
            request.headers.push_back({name, std::string(value)});
        }
    }
    auto const message = parse_mcp_request(request);
    if (!message) {
        PLEXUS_ASSERT(message.error().status == 400);
        PLEXUS_ASSERT(mcp_failure_text(message.error()).starts_with("{\"jsonrpc\":\"2.0\""));
        return 0;
    }
    PLEXUS_ASSERT(!message->method.empty() && (message->is_notification || !message->id.is_null()));
    std::ignore = message->progress_token();
    std::ignore = mcp_result_text(*message, {});
    if (auto const question = read_mcp_question(message->params)) {
        PLEXUS_ASSERT(question->body.contains("messages"));
    }
    return 0;
}
