#include "api/guard.h"

#include <array>

#include "base/bytes.h"

namespace plexus::api {

namespace {

bool equal_ignoring_case(std::string_view left, std::string_view right)
{
    auto const lower = [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter | 0x20) : letter; };
    return std::ranges::equal(left, right, {}, lower, lower);
}

std::array<std::string, 3> own_authorities(std::uint16_t port)
{
    return {fmt::format("localhost:{}", port), fmt::format("127.0.0.1:{}", port), fmt::format("[::1]:{}", port)};
}

std::uint16_t port_of(Door door, GuardRules const& rules)
{
    return door == Door::ollama ? rules.ollama_port : rules.port;
}

bool is_own_host(Request const& head, Door door, GuardRules const& rules)
{
    auto const host = head.header("host");
    if (!host) {
        return false;
    }
    if (door == Door::local_socket) {
        return *host == "plexus" || *host == "localhost";
    }
    return std::ranges::any_of(own_authorities(port_of(door, rules)),
                               [&](auto const& own) { return equal_ignoring_case(own, *host); });
}

bool is_approved_origin(std::string_view origin, Door door, GuardRules const& rules)
{
    if (door == Door::local_socket) {
        return false;
    }
    auto const is_own = [&](auto const& own) { return origin == "http://" + own; };
    return std::ranges::any_of(own_authorities(port_of(door, rules)), is_own) ||
           std::ranges::find(rules.origins, origin) != rules.origins.end();
}

bool changes_state(std::string_view method)
{
    return method != "GET" && method != "HEAD" && method != "OPTIONS";
}

std::string_view bearer_of(Request const& head)
{
    constexpr auto scheme = std::string_view("bearer ");
    auto const value = head.header("authorization").value_or("");
    return equal_ignoring_case(value.substr(0, scheme.size()), scheme) ? value.substr(scheme.size())
                                                                       : std::string_view();
}

bool has_token(Request const& head, std::string_view token)
{
    auto const is_ours = [&](std::string_view shown) { return equal_in_constant_time(as_view(shown), as_view(token)); };
    return !token.empty() && (is_ours(bearer_of(head)) || is_ours(head.header("x-api-key").value_or("")));
}

/// What programs that know no token may do on Ollama's port if the owner lets them: ask, and read what there is.
constexpr auto paths_without_token = std::array<std::string_view, 13>{"/",
                                                                      "/api/version",
                                                                      "/api/tags",
                                                                      "/api/ps",
                                                                      "/api/show",
                                                                      "/api/chat",
                                                                      "/api/generate",
                                                                      "/api/embed",
                                                                      "/api/embeddings",
                                                                      "/v1/models",
                                                                      "/v1/completions",
                                                                      "/v1/chat/completions",
                                                                      "/v1/embeddings"};

bool needs_token(Request const& head, Door door, GuardRules const& rules)
{
    auto const path = head.path();
    if (door == Door::local_socket || path == "/healthz" || path == "/readyz" || is_preflight(head)) {
        return false;
    }
    if (door != Door::ollama) {
        return true;
    }
    auto const is_open = std::ranges::find(paths_without_token, path) != paths_without_token.end();
    return path != "/" && (rules.ollama_needs_token || !is_open);
}

/// A body of that length follows; without one there is no type to tell.
bool has_body(Request const& head)
{
    return head.header("transfer-encoding") || head.header("content-length").value_or("0") != "0";
}

/// JSON, or for sound a form.
bool is_of_known_type(Request const& head)
{
    auto const value = head.header("content-type").value_or("");
    auto type = value.substr(0, value.find(';'));
    while (type.ends_with(' ') || type.ends_with('\t')) {
        type.remove_suffix(1);
    }
    return equal_ignoring_case(type, "application/json") ||
           (head.path() == "/v1/audio/transcriptions" && equal_ignoring_case(type, "multipart/form-data"));
}

}  // namespace

std::optional<GuardRefusal> check(Request const& head, Door door, GuardRules const& rules)
{
    if (!is_own_host(head, door, rules)) {
        return GuardRefusal{RefusalReason::host, 403, "The request names a host that is not this daemon.",
                            "Use http://localhost with the port of the daemon."};
    }
    if (auto const origin = head.header("origin"); origin && !is_approved_origin(*origin, door, rules)) {
        return GuardRefusal{RefusalReason::origin, 403, "A web page of another origin may not use this daemon.",
                            "Add its origin to api.origins in the configuration if you trust it."};
    }
    auto const site = head.header("sec-fetch-site");
    if (site && *site == "cross-site" && !head.header("origin") && changes_state(head.method)) {
        return GuardRefusal{RefusalReason::cross_site, 403, "Another web site may not change anything here.",
                            "Open the page of the daemon itself."};
    }
    if (needs_token(head, door, rules) && !has_token(head, rules.token)) {
        return GuardRefusal{RefusalReason::token, 401, "The request carries no valid API token.",
                            "Send 'Authorization: Bearer TOKEN' with the token in the file api-token."};
    }
    if (head.method == "POST" && has_body(head) && !is_of_known_type(head) && !head.path().starts_with("/api/blobs/")) {
        return GuardRefusal{RefusalReason::media_type, 415, "A POST needs a body of the type application/json.",
                            "Send 'Content-Type: application/json'."};
    }
    return std::nullopt;
}

bool is_preflight(Request const& head)
{
    return head.method == "OPTIONS" && head.header("origin") && head.header("access-control-request-method");
}

std::vector<Header> cross_origin_headers(Request const& head, Door door, GuardRules const& rules)
{
    auto const origin = head.header("origin");
    if (!origin || !is_own_host(head, door, rules) || !is_approved_origin(*origin, door, rules)) {
        return {};
    }
    auto headers = std::vector<Header>{
        {"access-control-allow-origin", std::string(*origin)},
        {"access-control-expose-headers", "plexus-route, plexus-model-digest, plexus-warning, x-request-id"},
        {"vary", "Origin"}};
    if (is_preflight(head)) {
        headers.push_back({"access-control-allow-methods", "GET, POST, DELETE"});
        headers.push_back(
            {"access-control-allow-headers",
             std::string(head.header("access-control-request-headers").value_or("authorization, content-type"))});
        headers.push_back({"access-control-max-age", "600"});
    }
    return headers;
}

}  // namespace plexus::api
