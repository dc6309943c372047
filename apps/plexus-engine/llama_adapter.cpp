#include "llama_adapter.h"

#include "arg.h"
#include "common.h"
#include "llama.h"
#include "log.h"
#include "server-common.h"
#include "server-context.h"

namespace plexus::engine {

namespace {

constexpr auto default_context = 4096;
constexpr auto default_slots = 4;

json to_ready(server_context_meta const& meta, common_params const& params)
{
    return {{"context", meta.slot_n_ctx},
            {"trained_context", meta.model_n_ctx_train},
            {"slots", params.n_parallel},
            {"parameters", meta.model_n_params},
            {"weights_bytes", meta.model_size},
            {"quantisation", meta.model_ftype},
            {"sees", meta.has_inp_image},
            {"hears", meta.has_inp_audio}};
}

/// The prompts of a completion or embeddings body: a text, tokens, or a list of those.
std::vector<json> prompts_of(json const& body)
{
    auto const& prompt = body.contains("prompt") ? body.at("prompt") : body.at("input");
    if (!prompt.is_array() || json_is_array_and_contains_numbers(prompt)) {
        return {prompt};
    }
    auto prompts = std::vector<json>{};
    for (auto const& each : prompt) {
        prompts.push_back(each);
    }
    return prompts;
}

using Handler = server_http_context::handler_t;

/// The tokens that llama.cpp finds in a prompt of a body without messages.
std::size_t count_tokens(Handler const& tokenize, server_http_req const& request, json const& prompt)
{
    auto const body = json{{"content", prompt}, {"add_special", true}}.dump();
    auto const asked = server_http_req{{}, {}, "/tokenize", "", body, {}, request.should_stop};
    return json::parse(tokenize(asked)->data).at("tokens").size();
}

/// Answers how long the longest prompt of a body is, and how much fits.
Handler count_handler(server_routes const& routes, int context)
{
    return [chat = routes.post_chat_completions_tok, tokenize = routes.post_tokenize,
            context](server_http_req const& request) -> server_http_res_ptr {
        auto const body = json::parse(request.body);
        auto tokens = std::size_t{0};
        if (body.contains("messages")) {
            tokens = json::parse(chat(request)->data).at("input_tokens").get<std::size_t>();
        } else {
            for (auto const& prompt : prompts_of(body)) {
                tokens = std::max(tokens, count_tokens(tokenize, request, prompt));
            }
        }
        auto answer = std::make_unique<server_http_res>();
        answer->data = json{{"tokens", tokens}, {"context", context}}.dump();
        return answer;
    };
}

}  // namespace

struct LlamaAdapter::State {
    common_params params;
    server_context context;
    std::unique_ptr<server_routes> routes;
    std::map<std::string, server_http_context::handler_t> handlers;
};

LlamaAdapter::LlamaAdapter() : state_(std::make_unique<State>()) {}
LlamaAdapter::~LlamaAdapter() = default;

Result<std::string> LlamaAdapter::load(std::string const& path, std::string const& parameters)
{
    auto& params = state_->params;
    try {
        auto const wanted = json::parse(parameters);
        params.n_parallel = wanted.value("slots", default_slots);
        params.n_ctx = wanted.value("context", default_context) * params.n_parallel;
        params.cpuparams.n_threads = wanted.value("threads", -1);
        params.cpuparams_batch.n_threads = wanted.value("threads", -1);
        params.n_gpu_layers = wanted.value("gpu_layers", -1);
    } catch (std::exception const& error) {
        return fail(ErrorKind::malformed, "the load parameters are not understood: {}", error.what());
    }
    params.model.path = path;
    params.model_alias = {"model"};
    params.use_jinja = true;
    params.cache_ram_mib = 0;
    params.fit_params = false;
    params.endpoint_metrics = true;
    common_init();
    common_log_set_verbosity_thold(-1);
    llama_backend_init();
    try {
        postprocess_cpu_params(params.cpuparams, nullptr);
        postprocess_cpu_params(params.cpuparams_batch, &params.cpuparams);
        postprocess_cpu_params(params.speculative.draft.cpuparams, &params.cpuparams);
        postprocess_cpu_params(params.speculative.draft.cpuparams_batch, &params.cpuparams_batch);
        if (!state_->context.load_model(params)) {
            return fail(ErrorKind::unavailable, "llama.cpp could not load the model");
        }
    } catch (std::exception const& error) {
        return fail(ErrorKind::unavailable, "llama.cpp could not load the model: {}", error.what());
    }
    state_->routes = std::make_unique<server_routes>(params, state_->context);
    auto& routes = *state_->routes;
    routes.update_meta(state_->context);
    state_->handlers = {
        {"/v1/chat/completions", routes.post_chat_completions},
        {"/v1/completions", routes.post_completions_oai},
        {"/infill", routes.post_infill},
        {"/v1/embeddings", routes.post_embeddings_oai},
        {"/v1/rerank", routes.post_rerank},
        {"/v1/audio/transcriptions", routes.post_transcriptions_oai},
        {"/count", count_handler(routes, state_->context.get_meta().slot_n_ctx)},
    };
    return to_ready(state_->context.get_meta(), params).dump();
}

void LlamaAdapter::run()
{
    state_->context.start_loop();
}

void LlamaAdapter::terminate()
{
    state_->context.terminate();
}

LlamaAdapter::Answer LlamaAdapter::handle(std::string const& route, std::string body,
                                          std::function<bool()> const& should_stop)
{
    auto const handler = state_->handlers.find(route);
    if (handler == state_->handlers.end()) {
        return {.status = 404, .body = R"({"error":{"message":"the engine has no such route"}})", .next = {}, .owner = {}};
    }
    auto error = ERROR_TYPE_SERVER;
    auto message = std::string("unknown error");
    try {
        auto request = std::make_shared<server_http_req>(
            server_http_req{{}, {}, route, "", std::move(body), {}, should_stop});
        auto response = std::shared_ptr<server_http_res>(handler->second(*request));
        auto answer = Answer{.status = response->status, .body = {}, .next = {}, .owner = {}};
        if (response->is_stream()) {
            answer.next = [response, request](std::string& part) { return response->next(part); };
        } else {
            answer.body = response->data;
        }
        answer.owner = std::make_shared<std::pair<decltype(request), decltype(response)>>(request, response);
        return answer;
    } catch (std::bad_alloc const& exception) {
        message = exception.what();
    } catch (std::exception const& exception) {
        // Thrown before anything was computed: the request cannot be read, or not be put into the model's template.
        error = ERROR_TYPE_INVALID_REQUEST;
        message = exception.what();
    }
    auto const description = format_error_response(message, error);
    return {.status = json_value(description, "code", 500),
            .body = safe_json_to_str({{"error", description}}),
            .next = {},
            .owner = {}};
}

}  // namespace plexus::engine
