#pragma once

#include "api/api.h"
#include "api/response_store.h"

/// The handlers behind Api. Each answers its exchange completely and gives the status that it answered with.
namespace plexus::api {

struct RouteContext {
    Env& env;
    Services& services;
    ApiOptions const& options;
    Metrics& metrics;
    ResponseStore& responses;
    Request const& request;
    std::string argument;  ///< what follows the route's prefix, decoded
    Exchange& exchange;
};

/// What a route answers to. A path that ends with "/" and is more than that takes an argument.
struct RouteName {
    std::string_view method;
    std::string_view path;
};

/// All routes but GET /metrics, in the order in which they are tried.
std::vector<RouteName> route_names();

/// Now, in seconds since 1970.
std::int64_t unix_seconds(Env& env);

/// Adds what every response carries.
Response with_common_headers(Response response);

Task<int> answer_json(Exchange& exchange, int status, std::string body);
/// With the shape of /v1.
Task<int> answer_openai_problem(Exchange& exchange, Problem problem);
/// With the shape of /api/v1.
Task<int> answer_problem(Exchange& exchange, Problem problem);

Task<int> list_openai_models(RouteContext context);
Task<int> show_openai_model(RouteContext context);
Task<int> complete_chat(RouteContext context);
Task<int> serve_mcp(RouteContext context);

Task<int> list_anthropic_models(RouteContext context);
Task<int> show_anthropic_model(RouteContext context);
Task<int> create_message(RouteContext context);
Task<int> count_message_tokens(RouteContext context);

Task<int> show_ollama_root(RouteContext context);
Task<int> show_ollama_version(RouteContext context);
Task<int> list_ollama_models(RouteContext context);
Task<int> list_loaded_ollama_models(RouteContext context);
Task<int> show_ollama_model(RouteContext context);
Task<int> chat_as_ollama(RouteContext context);
Task<int> generate_as_ollama(RouteContext context);
Task<int> embed_as_ollama(RouteContext context);
Task<int> embed_prompt_as_ollama(RouteContext context);
Task<int> pull_ollama_model(RouteContext context);
Task<int> delete_ollama_model(RouteContext context);
Task<int> copy_ollama_model(RouteContext context);
Task<int> create_ollama_model(RouteContext context);
Task<int> find_ollama_blob(RouteContext context);
Task<int> upload_ollama_blob(RouteContext context);
Task<int> complete_text(RouteContext context);
Task<int> embed(RouteContext context);
Task<int> rerank(RouteContext context);
Task<int> transcribe(RouteContext context);
Task<int> create_response(RouteContext context);
Task<int> count_input_tokens(RouteContext context);
Task<int> compact_response(RouteContext context);
Task<int> show_response(RouteContext context);
Task<int> delete_response(RouteContext context);
Task<int> cancel_response(RouteContext context);

Task<int> show_openapi(RouteContext context);
Task<int> show_status(RouteContext context);
Task<int> show_checks(RouteContext context);
Task<int> shut_down(RouteContext context);
Task<int> pause_device(RouteContext context);
Task<int> list_devices(RouteContext context);
Task<int> revoke_device(RouteContext context);
Task<int> list_invites(RouteContext context);
Task<int> create_invite(RouteContext context);
Task<int> withdraw_invite(RouteContext context);
Task<int> answer_applicant(RouteContext context);
Task<int> join_mesh(RouteContext context);
Task<int> list_models(RouteContext context);
Task<int> import_model(RouteContext context);
Task<int> copy_model(RouteContext context);
Task<int> remove_model(RouteContext context);
Task<int> list_engines(RouteContext context);
/// NAME/load, NAME/unload, NAME/pin, NAME/draft
Task<int> change_engine(RouteContext context);
Task<int> list_external_engines(RouteContext context);
Task<int> add_external_engine(RouteContext context);
/// URL/test
Task<int> test_external_engine(RouteContext context);
Task<int> remove_external_engine(RouteContext context);
Task<int> pull_model(RouteContext context);
Task<int> verify_model(RouteContext context);
Task<int> show_model(RouteContext context);
Task<int> list_suggestions(RouteContext context);
Task<int> plan_model(RouteContext context);
Task<int> explain_route(RouteContext context);
Task<int> list_foreign_models(RouteContext context);

}  // namespace plexus::api
