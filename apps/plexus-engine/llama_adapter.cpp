#include "llama_adapter.h"

#include <sys/resource.h>

#include "arg.h"
#include "chat_route.h"
#include "common.h"
#include "draft_model.h"
#include "llama-ext.h"
#include "llama.h"
#include "log.h"
#include "request_rules.h"
#include "server-common.h"
#include "server-context.h"

namespace plexus::engine {

namespace {

constexpr auto default_context = 4096;
constexpr auto default_slots = 4;
constexpr auto same_conversation =
    0.5F;  // share of a prompt that a slot must hold to be chosen for it; else the oldest
constexpr auto batch_tokens = 256;  // of prompts, computed in one step; a request that is cancelled ends after it
constexpr auto matched_tokens = 3;  // of the text before, for a guess that it goes on as it did then
constexpr auto guessed_tokens = 8;
constexpr auto kept_states = 1;  // a slot; models/memory_estimate.h counts with the same

bool is_of_gpu(ggml_backend_dev_t device)
{
    auto const type = device == nullptr ? GGML_BACKEND_DEVICE_TYPE_CPU : ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

/// The only one that llama.cpp sees (gpu.h); null without one.
ggml_backend_dev_t first_gpu()
{
    for (auto index = std::size_t{0}; index < ggml_backend_dev_count(); ++index) {
        if (auto* const device = ggml_backend_dev_get(index); is_of_gpu(device)) {
            return device;
        }
    }
    return nullptr;
}

/// What llama.cpp has set aside, by its own account.
struct Allocated {
    std::size_t weights = 0;
    std::size_t cache = 0;
    std::size_t compute = 0;
    std::size_t on_gpu = 0;       // of all these
    std::size_t unread_file = 0;  // mapped pages behind weights that were repacked, or are on the GPU
};

void add_allocated(Allocated& whole, llama_context const* context)
{
    auto const weights = llama_model_size(llama_get_model(context));
    auto sum = Allocated{};
    auto weights_on_gpu = std::size_t{0};
    for (auto const& [type, memory] : llama_get_memory_breakdown(context)) {
        sum.weights += memory.model;
        sum.cache += memory.context;
        sum.compute += memory.compute;
        if (is_of_gpu(ggml_backend_buft_get_device(type)) && !ggml_backend_buft_is_host(type)) {
            weights_on_gpu += memory.model;
            sum.on_gpu += memory.total();
        }
    }
    auto const weights_here = sum.weights - weights_on_gpu;
    whole.unread_file += weights_here - std::min(weights_here, weights) + weights_on_gpu;
    whole.weights += std::min(sum.weights, weights);
    whole.cache += sum.cache;
    whole.compute += sum.compute;
    whole.on_gpu += sum.on_gpu;
}

/// All that is said of the GPU is zero or empty without one.
void add_gpu(json& ready, llama_model const* model, common_params const& params, Allocated const& memory)
{
    auto* const gpu = first_gpu();
    auto const uses = gpu != nullptr && params.n_gpu_layers > 0;
    auto const layers = std::min(params.n_gpu_layers, llama_model_n_layer(model) + 1);
    ready["backend"] = uses ? ggml_backend_reg_name(ggml_backend_dev_backend_reg(gpu)) : "CPU";
    ready["gpu"] = uses ? ggml_backend_dev_description(gpu) : "";
    ready["gpu_layers"] = uses ? layers : 0;
    ready["gpu_bytes"] = memory.on_gpu;
}

json to_ready(server_context_meta const& meta, common_params const& params, Allocated const& memory)
{
    return {{"context", meta.slot_n_ctx},
            {"trained_context", meta.model_n_ctx_train},
            {"slots", params.n_parallel},
            {"parameters", meta.model_n_params},
            {"weights_bytes", meta.model_size},
            {"quantisation", meta.model_ftype},
            {"sees", meta.has_inp_image},
            {"hears", meta.has_inp_audio},
            {"loaded_weights_bytes", memory.weights},
            {"cache_bytes", memory.cache},
            {"compute_bytes", memory.compute},
            {"unread_file_bytes", memory.unread_file},
            {"resident_bytes", LlamaAdapter::resident_bytes()}};
}

LlamaAdapter::Answer refusal(json const& error)
{
    return {.status = json_value(error, "code", 500),
            .body = safe_json_to_str({{"error", error}}),
            .next = {},
            .owner = {}};
}

}  // namespace

struct LlamaAdapter::State {
    common_params params;
    server_context context;
    std::unique_ptr<server_routes> routes;
    std::unique_ptr<RequestRules> rules;
    std::map<std::string, server_http_context::handler_t> handlers;
};

LlamaAdapter::LlamaAdapter() : state_(std::make_unique<State>()) {}
LlamaAdapter::~LlamaAdapter() = default;

Result<std::string> LlamaAdapter::load(std::string const& path, std::string const& draft, std::string const& parameters)
{
    auto& params = state_->params;
    try {
        auto const wanted = json::parse(parameters);
        params.n_parallel = wanted.value("slots", default_slots);
        params.n_ctx = wanted.value("context", default_context) * params.n_parallel;
        params.cpuparams.n_threads = wanted.value("threads", -1);
        params.cpuparams_batch.n_threads = wanted.value("threads", -1);
        params.n_gpu_layers = wanted.value("gpu_layers", 0);
        params.embedding = wanted.value("embedding", false);
        params.cache_prompt = wanted.value("keep_prompts", true);
        if (wanted.value("speculate", false)) {
            params.speculative.types.push_back(COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE);
            params.speculative.ngram_simple.size_n = matched_tokens;
            params.speculative.ngram_simple.size_m = guessed_tokens;
        }
        if (!draft.empty()) {
            use_draft(params.speculative, draft);
        }
        if (params.embedding) {  // an input is computed in one step, without a cache
            params.n_batch = params.n_ubatch = wanted.value("context", default_context);
        } else {
            params.n_batch = params.n_ubatch = batch_tokens;
        }
    } catch (std::exception const& error) {
        return fail(ErrorKind::malformed, "the load parameters are not understood: {}", error.what());
    }
    params.model.path = path;
    params.model_alias = {"model"};
    params.use_jinja = true;
    params.cache_ram_mib = 0;
    params.slot_prompt_similarity = same_conversation;
    params.n_ctx_checkpoints = kept_states;
    params.fit_params = false;
    params.endpoint_metrics = true;
    common_init();
    common_log_set_verbosity_thold(-1);
    llama_backend_init();
    params.devices = {params.n_gpu_layers > 0 ? first_gpu() : nullptr, nullptr};
    params.speculative.draft.devices = params.devices;
    if (!draft.empty()) {
        if (auto same = check_same_vocabulary(path, draft); !same) {
            return std::unexpected(same.error());
        }
    }
    try {
        postprocess_cpu_params(params.cpuparams, nullptr);
        postprocess_cpu_params(params.cpuparams_batch, &params.cpuparams);
        postprocess_cpu_params(params.speculative.draft.cpuparams, &params.cpuparams);
        postprocess_cpu_params(params.speculative.draft.cpuparams_batch, &params.cpuparams_batch);
        if (!state_->context.load_model(params)) {
            return fail(ErrorKind::unavailable, "llama.cpp could not load the model");
        }
        if (!draft.empty() && !can_take_drafts(state_->context.get_llama_context())) {
            return fail(ErrorKind::malformed,
                        "llama.cpp cannot take guessed tokens back from this model's memory, so it "
                        "works with no draft model");
        }
    } catch (std::exception const& error) {
        return fail(ErrorKind::unavailable, "llama.cpp could not load the model: {}", error.what());
    }
    state_->routes = std::make_unique<server_routes>(params, state_->context);
    auto& routes = *state_->routes;
    routes.update_meta(state_->context);
    auto const meta = state_->context.get_meta();
    // For the routes alone, which look here again: how much of an infill prompt they take, and whether they rerank.
    params.n_batch = meta.slot_n_ctx / 2;
    params.pooling_type = meta.pooling_type;
    state_->rules = std::make_unique<RequestRules>(routes, meta, params.n_batch);
    state_->handlers = {
        {"/v1/chat/completions", ChatRoute(state_->context, params, routes, meta)},
        {"/v1/completions", routes.post_completions_oai},
        {"/infill", routes.post_infill},
        {"/v1/embeddings", routes.post_embeddings_oai},
        {"/v1/rerank", routes.post_rerank},
        {"/v1/audio/transcriptions", routes.post_transcriptions_oai},
        {"/count", [rules = state_->rules.get()](server_http_req const& request) { return rules->count(request); }},
    };
    auto const* const context = state_->context.get_llama_context();
    auto memory = Allocated{};
    add_allocated(memory, context);
    if (!draft.empty()) {
        add_allocated(memory, params.speculative.draft.ctx_dft);
    }
    auto ready = to_ready(meta, params, memory);
    add_gpu(ready, llama_get_model(context), params, memory);
    return ready.dump();
}

std::uint64_t LlamaAdapter::resident_bytes()
{
    auto usage = rusage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
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
        auto const request = state_->rules->admit(route, std::move(body), should_stop);
        auto const response = std::shared_ptr<server_http_res>(handler->second(*request));
        auto answer = Answer{.status = response->status, .body = {}, .next = {}, .owner = {}};
        if (response->is_stream()) {
            answer.next = [response, request](std::string& part) {
                auto const more = response->next(part);
                if (RequestRules::is_progress(part)) {
                    part.clear();
                }
                return more;
            };
        } else if (response->status == 200) {
            answer.body = std::move(response->data);
        } else {
            answer = refusal(state_->rules->with_both_numbers(json::parse(response->data).at("error")));
        }
        answer.owner = std::make_shared<std::pair<decltype(request), decltype(response)>>(request, response);
        return answer;
    } catch (std::bad_alloc const& exception) {
        message = exception.what();
    } catch (std::length_error const& exception) {
        error = ERROR_TYPE_EXCEED_CONTEXT_SIZE;
        message = exception.what();
    } catch (std::exception const& exception) {
        // Thrown before anything was computed: the request cannot be read, or not be put into the model's template.
        error = ERROR_TYPE_INVALID_REQUEST;
        message = exception.what();
    }
    return refusal(format_error_response(message, error));
}

}  // namespace plexus::engine
