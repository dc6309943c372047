#include "api/mcp_message.h"

#include <array>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "api/base64.h"
#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto version_key = std::string_view("io.modelcontextprotocol/protocolVersion");
constexpr auto capabilities_key = std::string_view("io.modelcontextprotocol/clientCapabilities");
constexpr auto legacy_versions = std::array<std::string_view, 3>{mcp_newest_legacy_version, "2025-06-18", "2025-03-26"};

McpFailure failure(McpRequest const& request, McpError error, std::string text)
{
    return {.error = error, .text = std::move(text), .id = request.id};
}

bool is_legacy(std::string_view version)
{
    return std::ranges::find(legacy_versions, version) != legacy_versions.end();
}

json::object const* meta_of(McpRequest const& request)
{
    auto const* meta = find(request.params, "_meta");
    return meta != nullptr && meta->is_object() ? &meta->get_object() : nullptr;
}

/// A request of today says so in `_meta`, or in the header if `_meta` was forgotten.
bool is_modern(Request const& http, McpRequest const& request)
{
    auto const* meta = meta_of(request);
    if (meta != nullptr && meta->contains(version_key)) {
        return true;
    }
    auto const header = http.header("mcp-protocol-version");
    return (header && !is_legacy(*header)) || request.method == "server/discover";
}

std::expected<McpRequest, McpFailure> read_message(std::string_view body)
{
    auto parsed = parse_object(body);
    if (!parsed) {
        return std::unexpected(McpFailure{.error = McpError::parse, .text = parsed.error().text});
    }
    auto request = McpRequest{};
    auto const* id = parsed->if_contains("id");
    request.is_notification = id == nullptr;
    if (id != nullptr && (id->is_string() || id->is_int64() || id->is_uint64())) {
        request.id = *id;
    } else if (id != nullptr) {
        return std::unexpected(McpFailure{.text = "'id' must be a string or an integer."});
    }
    if (text_of(*parsed, "jsonrpc") != "2.0" || text_of(*parsed, "method").empty()) {
        return std::unexpected(failure(request, McpError::invalid_request, "This is no request of JSON-RPC 2.0."));
    }
    request.method = text_of(*parsed, "method");
    if (auto* params = parsed->if_contains("params")) {
        if (!params->is_object()) {
            return std::unexpected(failure(request, McpError::invalid_params, "'params' must be an object."));
        }
        request.params = std::move(params->get_object());
    }
    return request;
}

std::string decoded_header(std::string_view value)
{
    constexpr auto begin = std::string_view("=?base64?");
    constexpr auto end = std::string_view("?=");
    if (value.size() < begin.size() + end.size() || !value.starts_with(begin) || !value.ends_with(end)) {
        return std::string(value);
    }
    value.remove_prefix(begin.size());
    value.remove_suffix(end.size());
    return from_base64(value).value_or("");
}

std::optional<McpFailure> check_header(Request const& http, McpRequest const& request, std::string_view name,
                                       std::string_view expected)
{
    auto const value = http.header(name);
    if (!value) {
        return failure(request, McpError::header_mismatch, fmt::format("Header mismatch: {} is missing.", name));
    }
    if (decoded_header(*value) != expected) {
        return failure(request, McpError::header_mismatch,
                       fmt::format("Header mismatch: {} does not match the body.", name));
    }
    return std::nullopt;
}

std::optional<McpFailure> check_modern(Request const& http, McpRequest const& request)
{
    auto const* meta = meta_of(request);
    auto const version = meta == nullptr ? std::string_view() : text_of(*meta, version_key);
    auto const* capabilities = meta == nullptr ? nullptr : find(*meta, capabilities_key);
    if (version.empty() || capabilities == nullptr || !capabilities->is_object()) {
        return failure(request, McpError::invalid_params,
                       fmt::format("'_meta' must hold {} and {}.", version_key, capabilities_key));
    }
    if (auto problem = check_header(http, request, "mcp-protocol-version", version)) {
        return problem;
    }
    if (version != mcp_modern_version) {
        auto refused = failure(request, McpError::unsupported_version, "Unsupported protocol version");
        refused.data = json::object{{"supported", json::array{mcp_modern_version, mcp_newest_legacy_version}},
                                    {"requested", version}};
        return refused;
    }
    if (auto problem = check_header(http, request, "mcp-method", request.method)) {
        return problem;
    }
    return request.method == "tools/call" ? check_header(http, request, "mcp-name", request.name()) : std::nullopt;
}

}  // namespace

std::string_view McpRequest::name() const
{
    return text_of(params, "name");
}

std::optional<json::value> McpRequest::progress_token() const
{
    auto const* meta = meta_of(*this);
    auto const* token = meta == nullptr ? nullptr : find(*meta, "progressToken");
    return token == nullptr ? std::nullopt : std::optional(*token);
}

std::expected<McpRequest, McpFailure> parse_mcp_request(Request const& http)
{
    auto request = read_message(http.body);
    if (!request) {
        return request;
    }
    request->is_modern = is_modern(http, *request);
    if (request->is_modern && !request->is_notification) {
        if (auto problem = check_modern(http, *request)) {
            return std::unexpected(std::move(*problem));
        }
    }
    return request;
}

std::string mcp_result_text(McpRequest const& request, json::object result)
{
    if (request.is_modern) {
        result["resultType"] = "complete";
    }
    return json::serialize(json::object{{"jsonrpc", "2.0"}, {"id", request.id}, {"result", std::move(result)}});
}

std::string mcp_failure_text(McpFailure const& failure)
{
    auto error = json::object{{"code", static_cast<int>(failure.error)}, {"message", failure.text}};
    if (!failure.data.is_null()) {
        error["data"] = failure.data;
    }
    auto whole = json::object{{"jsonrpc", "2.0"}, {"error", std::move(error)}};
    if (!failure.id.is_null()) {
        whole["id"] = failure.id;
    }
    return json::serialize(whole);
}

std::string mcp_notification_text(std::string_view method, json::object params)
{
    return json::serialize(json::object{{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}});
}

std::string_view mcp_negotiated(std::string_view wanted)
{
    auto const found = std::ranges::find(legacy_versions, wanted);
    return found == legacy_versions.end() ? mcp_newest_legacy_version : *found;
}

}  // namespace plexus::api
