#include "api/surface.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr int overloaded = 529;  // Anthropic's status for "not now"

bool is_at_or_below(std::string_view path, std::string_view root)
{
    return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

/// Anthropic's class of the error.
std::string_view anthropic_type(Problem const& problem)
{
    if (problem.code == "unavailable") {
        return "overloaded_error";
    }
    switch (problem.status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 504: return "timeout_error";
    default: return problem.status < 500 ? "invalid_request_error" : "api_error";
    }
}

std::string anthropic_message(Problem const& problem)
{
    // Programs look for these words to know that they must shorten the conversation.
    if (problem.code == "context_length_exceeded") {
        return "prompt is too long: " + problem.text;
    }
    return problem.param.empty() || problem.text.find(problem.param) != std::string::npos
               ? problem.text
               : fmt::format("{}: {}", problem.param, problem.text);
}

}  // namespace

Surface surface_of(Request const& head, Door door)
{
    auto const path = head.path();
    if (is_at_or_below(path, "/v1")) {
        auto const is_anthropic = is_at_or_below(path, "/v1/messages") || head.header("anthropic-version");
        return is_anthropic ? Surface::anthropic : Surface::openai;
    }
    auto const is_ollama = is_at_or_below(path, "/api") && !is_at_or_below(path, "/api/v1");
    return is_ollama || door == Door::ollama ? Surface::ollama : Surface::control;
}

Response error_response(Surface surface, Problem const& problem, std::string_view request_id)
{
    switch (surface) {
    case Surface::openai: return openai_error(problem);
    case Surface::anthropic: return anthropic_error(problem, request_id);
    case Surface::ollama: return ollama_error(problem);
    case Surface::control: break;
    }
    return problem_document(problem);
}

std::string anthropic_error_text(Problem const& problem, std::string_view request_id)
{
    auto document = json::object{
        {"type", "error"},
        {"error", json::object{{"type", anthropic_type(problem)}, {"message", anthropic_message(problem)}}}};
    if (!request_id.empty()) {
        document["request_id"] = request_id;
    }
    return json::serialize(document);
}

Response anthropic_error(Problem const& problem, std::string_view request_id)
{
    auto response = error_with_body(problem, "application/json", anthropic_error_text(problem, request_id));
    if (problem.code == "unavailable") {
        response.status = overloaded;
    }
    return response;
}

std::string ollama_error_text(Problem const& problem)
{
    return json::serialize(json::object{{"error", problem.text}});
}

Response ollama_error(Problem const& problem)
{
    return error_with_body(problem, "application/json", ollama_error_text(problem));
}

}  // namespace plexus::api
