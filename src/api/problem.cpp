#include "api/problem.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr unsigned default_retry_seconds = 2;

json::value text_or_null(std::string const& text)
{
    return text.empty() ? json::value(nullptr) : json::value(text);
}

}  // namespace

Response error_with_body(Problem const& problem, std::string type, std::string body)
{
    auto response = Response{problem.status, {{"content-type", std::move(type)}}, std::move(body)};
    if (problem.retry_after_seconds > 0) {
        response.headers.push_back({"retry-after", std::to_string(problem.retry_after_seconds)});
    }
    if (problem.status == 401) {
        response.headers.push_back({"www-authenticate", "Bearer realm=\"plexus\""});
    }
    return response;
}

Problem invalid_request(std::string param, std::string text, std::string code)
{
    return {.status = 400,
            .code = std::move(code),
            .type = "invalid_request_error",
            .text = std::move(text),
            .param = std::move(param),
            .next = ""};
}

Problem problem_from(Error const& error)
{
    auto const made = [&](int status, std::string code, std::string type, unsigned retry = 0) {
        return Problem{.status = status,
                       .code = std::move(code),
                       .type = std::move(type),
                       .text = error.text,
                       .param = "",
                       .next = "",
                       .retry_after_seconds = retry};
    };
    switch (error.kind) {
    case ErrorKind::malformed: return made(400, "malformed", "invalid_request_error");
    case ErrorKind::too_large: return made(400, "too_large", "invalid_request_error");
    case ErrorKind::timed_out: return made(504, "timed_out", "server_error");
    case ErrorKind::closed: return made(503, "device_lost", "server_error", default_retry_seconds);
    case ErrorKind::refused: return made(502, "refused", "server_error");
    case ErrorKind::not_found: return made(404, "not_found", "invalid_request_error");
    case ErrorKind::not_allowed: return made(403, "not_allowed", "invalid_request_error");
    case ErrorKind::unavailable: return made(503, "unavailable", "server_error", default_retry_seconds);
    case ErrorKind::conflict: return made(409, "conflict", "invalid_request_error");
    case ErrorKind::out_of_space: return made(507, "out_of_space", "server_error");
    case ErrorKind::io: return made(500, "io", "server_error");
    case ErrorKind::cancelled: return made(503, "cancelled", "server_error");
    }
    return made(500, "internal", "server_error");
}

std::string openai_error_text(Problem const& problem)
{
    auto error = json::object{{"message", problem.text},
                              {"type", problem.type},
                              {"param", text_or_null(problem.param)},
                              {"code", text_or_null(problem.code)}};
    return json::serialize(json::object{{"error", std::move(error)}});
}

Response openai_error(Problem const& problem)
{
    return error_with_body(problem, "application/json", openai_error_text(problem));
}

Response problem_document(Problem const& problem)
{
    auto document = json::object{{"type", "about:blank"},
                                 {"title", reason_of(problem.status)},
                                 {"status", problem.status},
                                 {"code", problem.code},
                                 {"detail", problem.text}};
    if (!problem.next.empty()) {
        document["next"] = problem.next;
    }
    if (!problem.param.empty()) {
        document["field"] = problem.param;
    }
    return error_with_body(problem, "application/problem+json", json::serialize(document));
}

}  // namespace plexus::api
