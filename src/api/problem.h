#pragma once

#include "api/http_message.h"
#include "base/result.h"

namespace plexus::api {

/// A failure on its way to a client, in the words of both dialects.
struct Problem {
    int status = 500;
    std::string code;   ///< stable: "model_not_found"; the same for the CLI
    std::string type;   ///< OpenAI's class of error: "invalid_request_error", "server_error", …
    std::string text;   ///< what happened, one sentence
    std::string param;  ///< the request field at fault; may be empty
    std::string next;   ///< what to do about it; may be empty
    unsigned retry_after_seconds = 0;
};

/// The request is wrong: 400, `invalid_request_error`.
Problem invalid_request(std::string param, std::string text, std::string code = "invalid_value");

/// The problem of an Error that came from inside.
Problem problem_from(Error const& error);

/// The head that goes with the problem (retry-after, www-authenticate), with this body.
Response error_with_body(Problem const& problem, std::string type, std::string body);

/// {"error":{"message":…,"type":…,"param":…,"code":…}} as one line.
std::string openai_error_text(Problem const& problem);
Response openai_error(Problem const& problem);

/// application/problem+json (RFC 9457) with `code` and `next`.
Response problem_document(Problem const& problem);

}  // namespace plexus::api
