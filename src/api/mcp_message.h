#pragma once

#include <expected>
#include <optional>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "api/http_message.h"

/// The messages of the Model Context Protocol over Streamable HTTP, as a server reads and writes them. No I/O.
///
/// Two eras are served side by side. Requests of the revision 2026-07-28 describe themselves in `_meta` and in headers.
/// Those of 2025-11-25 and earlier begin with `initialize`; no session is made for them, which those revisions allow.
/// Spec: modelcontextprotocol.io, revisions 2026-07-28 and 2025-11-25, basic/transports.
namespace plexus::api {

inline constexpr std::string_view mcp_modern_version = "2026-07-28";
inline constexpr std::string_view mcp_newest_legacy_version = "2025-11-25";

/// JSON-RPC error codes, those of JSON-RPC 2.0 and those that MCP reserves.
enum class McpError : int {
    parse = -32700,
    invalid_request = -32600,
    method_not_found = -32601,
    invalid_params = -32602,
    internal = -32603,
    header_mismatch = -32020,
    unsupported_version = -32022,
};

struct McpRequest {
    boost::json::value id{};  ///< string or integer; null for a notification
    std::string method{};
    boost::json::object params{};
    bool is_notification = false;
    bool is_modern = false;

    /// The name of `tools/call`; empty if there is none.
    std::string_view name() const;
    /// What the client wants progress to be marked with; nothing if it wants none.
    std::optional<boost::json::value> progress_token() const;
};

/// A message that is not served, with the status of its HTTP response.
struct McpFailure {
    int status = 400;
    McpError error = McpError::invalid_request;
    std::string text{};
    boost::json::value id{};  ///< null if it could not be read
    boost::json::value data{};  ///< null if there is none
};

/// Checks body and headers of a POST. Errors: what the revision asks for, in its order.
std::expected<McpRequest, McpFailure> parse_mcp_request(Request const& request);

/// One JSON-RPC response. `result` is completed with what the era of the request wants.
std::string mcp_result_text(McpRequest const& request, boost::json::object result);
std::string mcp_failure_text(McpFailure const& failure);
std::string mcp_notification_text(std::string_view method, boost::json::object params);

/// The revision that is spoken with a client that asks for `wanted` in `initialize`.
std::string_view mcp_negotiated(std::string_view wanted);

}  // namespace plexus::api
