#pragma once

#include "api/http_server.h"

namespace plexus::api {

/// What a request must show before anything else is looked at.
struct GuardRules {
    std::uint16_t port = 0;
    std::uint16_t ollama_port = 0;   ///< of Door::ollama
    bool ollama_needs_token = true;  ///< false: on that port models may be listed and asked without
    /// Origins allowed beside our own, spelled exactly.
    std::vector<std::string> origins;
    std::string token;
};

enum class RefusalReason {
    host,        ///< 403: a name that is not ours, as after DNS rebinding
    origin,      ///< 403: a page of someone else
    cross_site,  ///< 403: the browser says that another site sent it
    token,       ///< 401
    media_type,  ///< 415
};

struct GuardRefusal {
    RefusalReason reason = RefusalReason::host;
    int status = 403;
    std::string_view text;
    std::string_view next;
};

/// Checks Host, Origin, Sec-Fetch-Site, token and content type of a request head, in this order, before routing.
/// A POST with a body must be JSON; the sound of /v1/audio/transcriptions may be a form.
///
/// On the Unix socket the file mode stands for the token, and no browser can come in, so any Origin is refused.
/// The token may come as a bearer or as x-api-key. /healthz, /readyz and the root of Ollama's port need none, nor does
/// a preflight; an upload to /api/blobs/ need not be JSON. An approved origin may come from another site.
std::optional<GuardRefusal> check(Request const& head, Door door, GuardRules const& rules);

/// A browser's question whether a page of that origin may send a request; answered without a token, since it carries none.
bool is_preflight(Request const& head);

/// The header fields that let the page of an approved origin read the answer; none for other requests.
std::vector<Header> cross_origin_headers(Request const& head, Door door, GuardRules const& rules);

}  // namespace plexus::api
