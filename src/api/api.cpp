#include "api/api.h"

#include "api/routes.h"
#include "api/surface.h"
#include "base/text.h"

namespace plexus::api {

namespace {

using RouteHandler = Task<int> (*)(RouteContext);

struct RouteEntry {
    std::string_view method;
    std::string_view path;  ///< ends with "/" if an argument follows
    RouteHandler handler;
    bool is_local_only = false;
    std::optional<Surface> surface{};  ///< if one path means different things to different clients
};

Task<int> show_health(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200, R"({"status":"ok"})");
}

Task<int> show_readiness(RouteContext context)
{
    auto const is_ready = context.services.control.status().is_ready;
    auto const* body = is_ready ? R"({"status":"ready"})" : R"({"status":"starting"})";
    co_return co_await answer_json(context.exchange, is_ready ? 200 : 503, body);
}

constexpr auto route_table = std::array{
    RouteEntry{"GET", "/healthz", show_health},
    RouteEntry{"GET", "/readyz", show_readiness},
    RouteEntry{"GET", "/v1/models", list_anthropic_models, false, Surface::anthropic},
    RouteEntry{"GET", "/v1/models/", show_anthropic_model, false, Surface::anthropic},
    RouteEntry{"GET", "/v1/models", list_openai_models},
    RouteEntry{"GET", "/v1/models/", show_openai_model},
    RouteEntry{"POST", "/v1/chat/completions", complete_chat},
    RouteEntry{"POST", "/mcp", serve_mcp},
    RouteEntry{"POST", "/v1/messages", create_message},
    RouteEntry{"POST", "/v1/messages/count_tokens", count_message_tokens},
    RouteEntry{"GET", "/", show_ollama_root, false, Surface::ollama},
    RouteEntry{"GET", "/api/version", show_ollama_version},
    RouteEntry{"GET", "/api/tags", list_ollama_models},
    RouteEntry{"GET", "/api/ps", list_loaded_ollama_models},
    RouteEntry{"POST", "/api/show", show_ollama_model},
    RouteEntry{"POST", "/api/chat", chat_as_ollama},
    RouteEntry{"POST", "/api/generate", generate_as_ollama},
    RouteEntry{"POST", "/api/embed", embed_as_ollama},
    RouteEntry{"POST", "/api/embeddings", embed_prompt_as_ollama},
    RouteEntry{"POST", "/api/pull", pull_ollama_model},
    RouteEntry{"DELETE", "/api/delete", delete_ollama_model},
    RouteEntry{"POST", "/api/copy", copy_ollama_model},
    RouteEntry{"POST", "/api/create", create_ollama_model},
    RouteEntry{"GET", "/api/blobs/", find_ollama_blob},
    RouteEntry{"POST", "/api/blobs/", upload_ollama_blob},
    RouteEntry{"POST", "/v1/completions", complete_text},
    RouteEntry{"POST", "/v1/responses", create_response},
    RouteEntry{"POST", "/v1/responses/input_tokens", count_input_tokens},
    RouteEntry{"POST", "/v1/responses/compact", compact_response},
    RouteEntry{"POST", "/v1/responses/", cancel_response},
    RouteEntry{"GET", "/v1/responses/", show_response},
    RouteEntry{"DELETE", "/v1/responses/", delete_response},
    RouteEntry{"POST", "/v1/embeddings", embed},
    RouteEntry{"POST", "/v1/rerank", rerank},
    RouteEntry{"POST", "/v1/audio/transcriptions", transcribe},
    RouteEntry{"GET", "/api/v1/openapi.json", show_openapi},
    RouteEntry{"GET", "/api/v1/status", show_status},
    RouteEntry{"GET", "/api/v1/checks", show_checks},
    RouteEntry{"POST", "/api/v1/shutdown", shut_down, true},
    RouteEntry{"POST", "/api/v1/pause", pause_device},
    RouteEntry{"GET", "/api/v1/devices", list_devices},
    RouteEntry{"DELETE", "/api/v1/devices/", revoke_device},
    RouteEntry{"GET", "/api/v1/invites", list_invites},
    RouteEntry{"POST", "/api/v1/invites", create_invite},
    RouteEntry{"DELETE", "/api/v1/invites/", withdraw_invite},
    RouteEntry{"POST", "/api/v1/invites/", answer_applicant},
    RouteEntry{"POST", "/api/v1/joins", join_mesh},
    RouteEntry{"GET", "/api/v1/models", list_models},
    RouteEntry{"POST", "/api/v1/models", import_model, true},
    RouteEntry{"GET", "/api/v1/models/", show_model},
    RouteEntry{"DELETE", "/api/v1/models/", remove_model},
    RouteEntry{"POST", "/api/v1/models/", change_engine},
    RouteEntry{"GET", "/api/v1/engines", list_engines},
    RouteEntry{"GET", "/api/v1/external-engines", list_external_engines},
    RouteEntry{"POST", "/api/v1/external-engines", add_external_engine, true},
    RouteEntry{"POST", "/api/v1/external-engines/", test_external_engine, true},
    RouteEntry{"DELETE", "/api/v1/external-engines/", remove_external_engine, true},
    RouteEntry{"POST", "/api/v1/pulls", pull_model},
    RouteEntry{"POST", "/api/v1/verifications", verify_model},
    RouteEntry{"GET", "/api/v1/suggestions", list_suggestions},
    RouteEntry{"POST", "/api/v1/plans", plan_model},
    RouteEntry{"POST", "/api/v1/routes", explain_route},
    RouteEntry{"POST", "/api/v1/foreign-models", list_foreign_models, true},
    RouteEntry{"POST", "/api/v1/copies", copy_model},
};

bool matches(RouteEntry const& entry, std::string_view path)
{
    if (entry.path.size() > 1 && entry.path.ends_with('/')) {
        return path.size() > entry.path.size() && path.starts_with(entry.path);
    }
    return path == entry.path;
}

/// Programs that take the port of Ollama for Ollama's have no business with the control routes.
bool is_served(RouteEntry const& entry, Surface surface, Door door)
{
    if (entry.surface && *entry.surface != surface) {
        return false;
    }
    auto const is_control = entry.path.starts_with("/api/v1/") || entry.path == "/mcp";
    return door != Door::ollama || !is_control;
}

Problem unknown_path()
{
    return {.status = 404,
            .code = "not_found",
            .type = "invalid_request_error",
            .text = "There is nothing at this path.",
            .param = "",
            .next = "GET /v1/models lists models, GET /api/v1/status shows the device."};
}

Problem wrong_method(std::string const& allowed)
{
    return {.status = 405,
            .code = "method_not_allowed",
            .type = "invalid_request_error",
            .text = fmt::format("This path takes {} only.", allowed),
            .param = "",
            .next = ""};
}

Problem local_only()
{
    return {.status = 403,
            .code = "not_allowed",
            .type = "invalid_request_error",
            .text = "This is possible over the Unix socket of the daemon only.",
            .param = "",
            .next = "Use the plexus command on the same device."};
}

std::string_view code_of(RefusalReason reason)
{
    switch (reason) {
    case RefusalReason::host: return "host_not_allowed";
    case RefusalReason::origin: return "origin_not_allowed";
    case RefusalReason::cross_site: return "cross_site";
    case RefusalReason::token: return "invalid_api_key";
    case RefusalReason::media_type: return "unsupported_media_type";
    }
    return "not_allowed";
}

}  // namespace

std::vector<RouteName> route_names()
{
    auto names = std::vector<RouteName>{};
    for (auto const& entry : route_table) {
        names.push_back({entry.method, entry.path});
    }
    return names;
}

std::int64_t unix_seconds(Env& env)
{
    return std::chrono::floor<std::chrono::seconds>(env.wall_now()).time_since_epoch().count();
}

Response with_common_headers(Response response)
{
    static auto const common = std::array<Header, 6>{
        Header{"cache-control", "no-store"},
        Header{"x-content-type-options", "nosniff"},
        Header{"x-frame-options", "DENY"},
        Header{"referrer-policy", "no-referrer"},
        Header{"cross-origin-resource-policy", "same-origin"},
        Header{"content-security-policy", "default-src 'none'; frame-ancestors 'none'"},
    };
    response.headers.insert(response.headers.end(), common.begin(), common.end());
    return response;
}

Task<int> answer_json(Exchange& exchange, int status, std::string body)
{
    auto response = with_common_headers({status, {{"content-type", "application/json"}}, std::move(body)});
    std::ignore = co_await exchange.respond(std::move(response));
    co_return status;
}

Task<int> answer_openai_problem(Exchange& exchange, Problem problem)
{
    std::ignore = co_await exchange.respond(with_common_headers(openai_error(problem)));
    co_return problem.status;
}

Task<int> answer_problem(Exchange& exchange, Problem problem)
{
    std::ignore = co_await exchange.respond(with_common_headers(problem_document(problem)));
    co_return problem.status;
}

struct Api::State {
    State(Env& env_used, Handler& handler, Services services_used, ApiOptions options_used)
        : env(env_used), services(services_used), options(std::move(options_used)), server(env_used, handler, options.http)
    {
    }

    Task<int> route(Request const& request, std::string const& path, Exchange& exchange, std::string& label);
    Task<int> show_metrics(Exchange& exchange);

    Env& env;
    Services services;
    ApiOptions options;
    Metrics metrics;
    ResponseStore responses;
    HttpServer server;
};

Api::Api(Env& env, Services services, ApiOptions options)
    : state_(std::make_unique<State>(env, *this, services, std::move(options)))
{
}

Api::~Api() = default;

void Api::serve_on(std::unique_ptr<Acceptor> acceptor, Door door)
{
    auto& guard = state_->options.guard;
    if (auto& port = door == Door::ollama ? guard.ollama_port : guard.port; port == 0 && door != Door::local_socket) {
        port = acceptor->local_endpoint().port;
    }
    state_->server.serve(std::move(acceptor), door);
}

Task<> Api::stop()
{
    return state_->server.stop();
}

std::optional<Response> Api::refusal(Request const& head, Door door, std::string const& request_id)
{
    auto const refused = check(head, door, state_->options.guard);
    if (!refused) {
        return std::nullopt;
    }
    state_->metrics.count_request("refused", refused->status);
    auto const problem = Problem{.status = refused->status,
                                 .code = std::string(code_of(refused->reason)),
                                 .type = "invalid_request_error",
                                 .text = std::string(refused->text),
                                 .param = "",
                                 .next = std::string(refused->next)};
    return with_common_headers(error_response(surface_of(head, door), problem, request_id));
}

std::vector<Header> Api::common_headers(Request const& head, Door door, std::string const& request_id)
{
    auto headers = cross_origin_headers(head, door, state_->options.guard);
    if (surface_of(head, door) == Surface::anthropic) {
        headers.push_back({"request-id", request_id});
    }
    return headers;
}

Response Api::malformed(int status, std::string_view why, std::string const& target, Door door)
{
    state_->metrics.count_request("malformed", status);
    auto const problem = Problem{.status = status,
                                 .code = status >= 500 ? "internal" : "malformed",
                                 .type = status >= 500 ? "server_error" : "invalid_request_error",
                                 .text = std::string(why),
                                 .param = "",
                                 .next = ""};
    auto surface = Surface::openai;
    if (!target.empty()) {
        auto head = Request{};
        head.target = target;
        surface = surface_of(head, door);
    }
    return with_common_headers(error_response(surface, problem, ""));
}

Task<> Api::serve(Request request, Exchange& exchange)
{
    auto const path = percent_decoded(request.path());
    if (!path || !is_utf8(*path)) {
        auto const* text = path ? "The path is not UTF-8." : "The path holds a broken percent escape.";
        auto const problem = invalid_request("", text, "malformed");
        auto response = error_response(surface_of(request, exchange.door()), problem, exchange.request_id());
        std::ignore = co_await exchange.respond(with_common_headers(std::move(response)));
        co_return;
    }
    auto label = std::string("unknown");
    auto const status = co_await state_->route(request, *path, exchange, label);
    state_->metrics.count_request(label, status);
}

Task<int> Api::State::route(Request const& request, std::string const& path, Exchange& exchange, std::string& label)
{
    auto const surface = surface_of(request, exchange.door());
    if (path == "/metrics" && request.method == "GET" && exchange.door() != Door::ollama) {
        label = path;
        co_return co_await show_metrics(exchange);
    }
    if (is_preflight(request)) {
        label = "preflight";
        std::ignore = co_await exchange.respond(with_common_headers({204, {}, ""}));
        co_return 204;
    }
    auto const method = request.method == "HEAD" ? std::string_view("GET") : std::string_view(request.method);
    auto allowed = std::string{};
    for (auto const& entry : route_table) {
        if (!matches(entry, path) || !is_served(entry, surface, exchange.door())) {
            continue;
        }
        if (entry.method != method) {
            allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", entry.method);
            continue;
        }
        label = entry.path;
        if (entry.is_local_only && exchange.door() != Door::local_socket) {
            co_return co_await answer_problem(exchange, local_only());
        }
        auto argument = path.substr(entry.path.size());
        auto context = RouteContext{env, services, options, metrics, responses, request, std::move(argument), exchange};
        co_return co_await entry.handler(std::move(context));
    }
    auto const problem = allowed.empty() ? unknown_path() : wrong_method(allowed);
    auto response = with_common_headers(error_response(surface, problem, exchange.request_id()));
    if (!allowed.empty()) {
        response.headers.push_back({"allow", allowed});
    }
    auto const status = response.status;
    std::ignore = co_await exchange.respond(std::move(response));
    co_return status;
}

Task<int> Api::State::show_metrics(Exchange& exchange)
{
    auto text = metrics.text(services.control.status(), services.mesh.devices().size(), server.connections());
    text += engine_metrics(services.models.engines());
    auto response = Response{200, {{"content-type", "text/plain; version=0.0.4"}}, std::move(text)};
    std::ignore = co_await exchange.respond(with_common_headers(std::move(response)));
    co_return 200;
}

}  // namespace plexus::api
