#pragma once

#include "api/http_server.h"
#include "api/problem.h"

/// The APIs that share our ports, told apart by path and header before a request is routed.
namespace plexus::api {

enum class Surface {
    openai,
    anthropic,  ///< /v1/messages, and all of /v1 for a request with the header anthropic-version
    ollama,     ///< /api but /api/v1, and whatever is no /v1 on the port of Ollama
    control,    ///< the rest
};

Surface surface_of(Request const& head, Door door);

/// The answer to a request that failed before an answer began, in the shape that clients of the surface read.
Response error_response(Surface surface, Problem const& problem, std::string_view request_id);

/// {"type":"error","error":{"type":…,"message":…},"request_id":…}; the id is left out if it is empty.
std::string anthropic_error_text(Problem const& problem, std::string_view request_id);
Response anthropic_error(Problem const& problem, std::string_view request_id);

/// {"error":"…"}.
std::string ollama_error_text(Problem const& problem);
Response ollama_error(Problem const& problem);

}  // namespace plexus::api
