#include "inference/external.h"

#include <boost/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "base/url.h"
#include "inference/external_answer.h"

namespace plexus::inference {

namespace json = boost::json;

namespace {

constexpr std::size_t max_name_bytes = 128;

std::uint32_t tokens_in(json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    auto code = boost::system::error_code{};
    auto const number = value == nullptr ? 0 : value->to_number<std::int64_t>(code);
    return code || number < 0 || number > std::numeric_limits<std::uint32_t>::max()
               ? 0
               : static_cast<std::uint32_t>(number);
}

/// What vLLM and SGLang, LM Studio, and llama-server call it; what the server can do counts before what the model could.
std::uint32_t context_of(json::object const& model)
{
    for (auto const* name : {"max_model_len", "context_length", "max_context_length"}) {
        if (auto const tokens = tokens_in(model, name); tokens > 0) {
            return tokens;
        }
    }
    auto const* meta = model.if_contains("meta");
    if (meta == nullptr || !meta->is_object()) {
        return 0;
    }
    auto const served = tokens_in(meta->get_object(), "n_ctx");
    return served > 0 ? served : tokens_in(meta->get_object(), "n_ctx_train");
}

bool is_name(std::string_view text)
{
    auto const is_plain = [](char each) { return each > ' ' && each < 0x7f; };
    return !text.empty() && text.size() <= max_name_bytes && std::ranges::all_of(text, is_plain);
}

/// Servers do not say it; all that the programs' own lists call so are named so.
bool names_vectors(std::string_view name)
{
    auto lower = std::string(name);
    std::ranges::transform(lower, lower.begin(), [](char each) {
        return each >= 'A' && each <= 'Z' ? static_cast<char>(each | 0x20) : each;
    });
    return lower.contains("embed");
}

bool is_token(std::string_view text)
{
    return std::ranges::all_of(text, [](char each) { return each > ' ' && each < 0x7f; });
}

/// Where "required" is not understood: the one tool that there is, by its name.
void name_the_tool(json::object& body)
{
    auto const* tools = body.if_contains("tools");
    auto* choice = body.if_contains("tool_choice");
    if (choice == nullptr || *choice != "required" || tools == nullptr || !tools->is_array() ||
        tools->get_array().size() != 1) {
        return;
    }
    auto code = boost::system::error_code{};
    if (auto const* name = tools->find_pointer("/0/function/name", code)) {
        *choice = json::object{{"type", "function"}, {"function", json::object{{"name", *name}}}};
    }
}

/// The body with the name that the engine knows the model by, and in its words.
Result<std::string> body_for(ExternalModel const& model, std::string_view body)
{
    auto code = boost::system::error_code{};
    auto value = json::parse(body, code);
    if (code || !value.is_object()) {
        return fail(ErrorKind::malformed, "the request is not a JSON object");
    }
    auto& object = value.get_object();
    object["model"] = model.name;
    if (model.takes_tool_by_name) {
        name_the_tool(object);
    }
    return json::serialize(value);
}

std::optional<std::string_view> path_of(TaskKind kind)
{
    switch (kind) {
    case TaskKind::chat: return "/v1/chat/completions";
    case TaskKind::completion: return "/v1/completions";
    case TaskKind::embeddings: return "/v1/embeddings";
    case TaskKind::rerank: return "/v1/rerank";
    default: return std::nullopt;
    }
}

}  // namespace

struct ExternalEngines::Engine {
    Engine(Executor executor, ExternalAddress where) : address(std::move(where)), changed(std::move(executor)) {}

    ExternalModel const* model(ModelDigest const& digest) const
    {
        auto const found = std::ranges::find(models, digest, &ExternalModel::digest);
        return found == models.end() ? nullptr : &*found;
    }

    ExternalAddress address;
    std::string token;
    bool is_there = false;
    bool is_removed = false;
    unsigned failures = 0;
    std::string problem = "it was not asked yet";
    std::vector<ExternalModel> models;
    std::uint32_t running = 0;
    Signal changed;
};

Result<std::string> external_url(std::string_view text)
{
    auto url = Url::parse(text);
    if (!url) {
        return std::unexpected(url.error());
    }
    if (url->target.contains('?')) {
        return fail(ErrorKind::malformed, "the address of an engine has no query");
    }
    auto base = url->text();
    auto const drop = [&](std::string_view end) {
        if (base.ends_with(end)) {
            base.resize(base.size() - end.size());
        }
    };
    drop("/");
    drop("/v1");
    drop("/");
    return base;
}

ModelDigest external_digest(std::string_view device, std::string_view url, std::string_view name)
{
    auto message = std::string{};
    for (auto const part : {std::string_view("plexus external model"), device, url, name}) {
        message += part;
        message += '\0';
    }
    return crypto::sha256(as_view(message));
}

Result<std::vector<ExternalModel>> parse_model_list(std::string_view text, std::string_view device,
                                                    std::string_view url)
{
    auto code = boost::system::error_code{};
    auto const document = json::parse(text, code);
    auto const* object = document.if_object();
    auto const* data = code || object == nullptr ? nullptr : object->if_contains("data");
    if (data == nullptr || !data->is_array()) {
        return fail(ErrorKind::malformed, "it does not answer as OpenAI's API does");
    }
    auto models = std::vector<ExternalModel>{};
    for (auto const& each : data->get_array()) {
        auto const* model = each.if_object();
        auto const* id = model == nullptr ? nullptr : model->if_contains("id");
        if (id == nullptr || !id->is_string() || !is_name(id->get_string()) || models.size() == max_external_models) {
            continue;
        }
        auto const* owner = model->if_contains("owned_by");
        if (owner != nullptr && *owner == "plexus") {
            return fail(ErrorKind::conflict, "that is Plexus itself; devices join a mesh with: plexus join");
        }
        auto const name = std::string(id->get_string());
        models.push_back({.digest = external_digest(device, url, name),
                          .name = name,
                          .context = context_of(*model),
                          .gives_vectors = names_vectors(name),
                          .takes_tool_by_name = owner != nullptr && *owner == "me"});
    }
    return models;
}

ExternalEngines::ExternalEngines(Env& env, std::string device, std::function<void()> changed)
    : env_(env), device_(std::move(device)), changed_(std::move(changed)), tasks_(env.executor())
{
}

ExternalEngines::~ExternalEngines() = default;

ExternalEngines::EngineHandle ExternalEngines::find(std::string_view url) const
{
    auto const found = std::ranges::find_if(engines_, [&](auto const& each) { return each->address.url == url; });
    return found == engines_.end() ? nullptr : *found;
}

Result<void> ExternalEngines::add(ExternalAddress address)
{
    if (find(address.url) != nullptr) {
        return fail(ErrorKind::conflict, "the engine {} is known already", address.url);
    }
    if (engines_.size() >= max_external_engines) {
        return fail(ErrorKind::unavailable, "{} engines are known already", engines_.size());
    }
    auto const engine = std::make_shared<Engine>(env_.executor(), std::move(address));
    engines_.push_back(engine);
    tasks_.spawn("watch an engine of others", watch(engine));
    return {};
}

bool ExternalEngines::remove(std::string_view url)
{
    auto const engine = find(url);
    if (engine == nullptr) {
        return false;
    }
    engine->is_removed = true;
    engine->is_there = false;
    engine->changed.notify();
    std::erase(engines_, engine);
    changed_();
    return true;
}

/// One that is at work for us is not asked: some answer nothing else meanwhile, or break the work off.
Task<> ExternalEngines::watch(EngineHandle engine)
{
    while (!engine->is_removed && !stopping_) {
        if (!engine->is_there || engine->running == 0) {
            co_await look_at(engine);
        }
        auto const next = env_.now() + health_interval;
        auto const alarm = Alarm(env_, next, [engine] { engine->changed.notify(); });
        while (env_.now() < next && !engine->is_removed && !stopping_) {
            co_await engine->changed.wait();
        }
    }
}

Task<> ExternalEngines::look_at(EngineHandle engine)
{
    auto const token = token_of(engine->address);
    auto models = Result<std::vector<ExternalModel>>{};
    if (token) {
        models = co_await ask(engine->address, *token);
    } else {
        models = std::unexpected(token.error());
    }
    if (!engine->is_removed) {
        take(*engine, std::move(models), token.value_or(""));
    }
}

void ExternalEngines::take(Engine& engine, Result<std::vector<ExternalModel>> models, std::string token)
{
    if (!models) {
        ++engine.failures;
        auto const is_gone = models.error().kind == ErrorKind::refused || !engine.is_there;
        if (is_gone || engine.failures >= failures_until_away) {
            lose(engine, models.error());
        }
        return;
    }
    engine.failures = 0;
    engine.token = std::move(token);
    engine.problem.clear();
    auto const was_there = std::exchange(engine.is_there, true);
    if (!was_there || engine.models != *models) {
        log::info("an engine of others is there", {{"url", engine.address.url}, {"models", models->size()}});
        engine.models = std::move(*models);
        changed_();
    }
}

void ExternalEngines::lose(Engine& engine, Error const& error)
{
    engine.problem = error.text;
    if (std::exchange(engine.is_there, false)) {
        log::warning("an engine of others is away", {{"url", engine.address.url}, {"reason", error.text}});
        changed_();
    }
}

Result<std::string> ExternalEngines::token_of(ExternalAddress const& address) const
{
    if (address.token_file.empty()) {
        return std::string{};
    }
    auto const content = env_.disk().read_file(address.token_file, max_engine_token_bytes);
    if (!content) {
        return std::unexpected(content.error());
    }
    auto token = std::string(as_text(*content));
    token.erase(token.find_last_not_of(" \t\r\n") + 1);
    if (token.empty() || !is_token(token)) {
        return fail(ErrorKind::malformed, "{} holds no token", address.token_file.string());
    }
    return token;
}

Task<Result<std::vector<ExternalModel>>> ExternalEngines::ask(ExternalAddress address, std::string token)
{
    auto const transfer = env_.http().start(external_request("GET", address.url + "/v1/models", token));
    auto read = [](HttpTransfer& from) -> Task<Result<std::string>> {
        auto const head = co_await from.head();
        if (!head) {
            co_return std::unexpected(head.error());
        }
        auto const is_good = head->status == 200;
        auto body = co_await read_body(from, is_good ? max_model_list_bytes : max_engine_error_bytes);
        if (!is_good) {
            co_return std::unexpected(external_error(head->status, body.value_or("")));
        }
        co_return body;
    };
    auto const deadline = env_.deadline_in(health_limit);
    auto const body = co_await with_deadline(env_, deadline, read(*transfer));
    if (!body) {
        co_return std::unexpected(body.error());
    }
    co_return parse_model_list(*body, device_, address.url);
}

Task<Result<ExternalEngine>> ExternalEngines::test(ExternalAddress address)
{
    auto token = token_of(address);
    if (!token) {
        co_return std::unexpected(token.error());
    }
    auto models = co_await ask(address, *token);
    if (auto const known = find(address.url); known != nullptr && known->address == address) {
        take(*known, models, *token);
    }
    if (!models) {
        co_return std::unexpected(models.error());
    }
    co_return ExternalEngine{.address = std::move(address), .is_there = true, .models = std::move(*models)};
}

std::vector<ExternalEngine> ExternalEngines::list() const
{
    auto engines = std::vector<ExternalEngine>{};
    for (auto const& each : engines_) {
        engines.push_back({.address = each->address,
                           .is_there = each->is_there,
                           .problem = each->problem,
                           .models = each->models,
                           .busy = each->running});
    }
    return engines;
}

bool ExternalEngines::holds(ModelDigest const& model) const
{
    return std::ranges::any_of(engines_, [&](auto const& engine) { return engine->model(model) != nullptr; });
}

std::vector<LoadedModel> ExternalEngines::loaded() const
{
    auto models = std::vector<LoadedModel>{};
    for (auto const& engine : engines_) {
        for (auto const& model : engine->models) {
            if (engine->is_there) {
                models.push_back(
                    {.digest = model.digest, .slots = max_external_tasks, .busy = 0, .context = model.context});
            }
        }
    }
    return models;
}

/// Counts an answer of its engine while it lasts.
class ExternalEngines::Answer final : public ExternalAnswer {
public:
    Answer(ExternalEngines& engines, EngineHandle engine, std::unique_ptr<HttpTransfer> transfer, TaskKind kind)
        : ExternalAnswer(engines.env_, std::move(transfer), kind), engines_(engines), engine_(std::move(engine))
    {
        ++engine_->running;
    }

    ~Answer() override { --engine_->running; }

private:
    void lost(Error const& error) override { engines_.lose(*engine_, error); }

    ExternalEngines& engines_;
    EngineHandle engine_;
};

Task<Result<std::unique_ptr<Generation>>> ExternalEngines::start(ModelDigest model, TaskKind kind, std::string body,
                                                                 std::function<void()> loading)
{
    static_cast<void>(loading);
    auto const serves = [&](auto const& engine) { return engine->is_there && engine->model(model) != nullptr; };
    auto const found = std::ranges::find_if(engines_, serves);
    if (found == engines_.end()) {
        co_return fail(ErrorKind::unavailable, "the engine of that model is away");
    }
    auto const engine = *found;
    auto const path = path_of(kind);
    if (!path) {
        co_return fail(ErrorKind::unavailable, "the engine {} cannot do that: {}", engine->address.url,
                       to_string(kind));
    }
    if (engine->running >= max_external_tasks) {
        co_return fail(ErrorKind::unavailable, "the engine {} has {} tasks already", engine->address.url,
                       engine->running);
    }
    auto asked = body_for(*engine->model(model), body);
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    auto request = external_request("POST", engine->address.url + std::string(*path), engine->token);
    request.fields.push_back({"content-type", "application/json"});
    request.body = std::move(*asked);
    co_return std::make_unique<Answer>(*this, engine, env_.http().start(std::move(request)), kind);
}

Task<> ExternalEngines::stop()
{
    stopping_ = true;
    co_await tasks_.join();
}

}  // namespace plexus::inference
