#include "inference/inference.h"

#include "base/log.h"
#include "inference/engine_process.h"

namespace plexus::inference {

namespace {

constexpr auto first_pause = std::chrono::milliseconds(200);
constexpr auto longest_pause = std::chrono::seconds(30);
constexpr auto stop_poll = std::chrono::milliseconds(5);

/// One model's engine, over its lives.
struct Entry {
    explicit Entry(Executor executor) : changed(std::move(executor)) {}
    std::shared_ptr<EngineProcess> engine;
    bool starting = false;
    Duration pause{};      // before the next start, after failures
    Time not_before{};
    std::optional<Error> last_error;
    Env::TimerId idle_timer = 0;
    Signal changed;
};

class Pool final : public Inference {
public:
    Pool(Env& env, ModelSource& source, Options options)
        : env_(env), source_(source), options_(std::move(options)), tasks_(env.executor())
    {
    }

    Task<Result<std::unique_ptr<Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                    std::function<void()> loading) override;
    std::vector<LoadedModel> loaded() const override;
    bool unload(ModelDigest const& model) override;
    void on_change(std::function<void()> action) override { actions_.push_back(std::move(action)); }
    int process_of(ModelDigest const& model) const override;
    Task<> stop() override;

private:
    Task<> start_engine(ModelDigest model, std::shared_ptr<Entry> entry);
    Task<Result<std::shared_ptr<EngineProcess>>> launch(ModelDigest model, std::shared_ptr<Entry> entry);
    Task<> serve(ModelDigest model, std::shared_ptr<Entry> entry, std::shared_ptr<EngineProcess> engine);
    void engine_changed(ModelDigest const& model);
    void arm_idle_timer(ModelDigest const& model, Entry& entry);
    std::string parameters(ModelDigest const& model) const;

    Env& env_;
    ModelSource& source_;
    Options options_;
    std::map<ModelDigest, std::shared_ptr<Entry>> entries_;
    std::vector<std::function<void()>> actions_;
    std::vector<std::shared_ptr<EngineProcess>> running_;  // in the order of their starts
    bool stopping_ = false;
    TaskScope tasks_;
};

std::string Pool::parameters(ModelDigest const& model) const
{
    auto const traits = source_.traits(model);
    auto const is_limited = traits.gives_vectors && traits.max_context > 0;
    auto const context = is_limited ? std::min(options_.context, traits.max_context) : options_.context;
    return fmt::format(R"({{"context":{},"slots":{},"threads":{},"embedding":{}}})", context, options_.slots,
                       options_.threads, traits.gives_vectors);
}

Task<Result<std::unique_ptr<Generation>>> Pool::start(ModelDigest model, TaskKind kind, std::string body,
                                                      std::function<void()> loading)
{
    auto& slot = entries_[model];
    if (!slot) {
        slot = std::make_shared<Entry>(env_.executor());
    }
    auto const entry = slot;
    auto told = false;
    while (!entry->engine || entry->engine->ended()) {
        if (stopping_) {
            co_return fail(ErrorKind::closed, "the device is stopping");
        }
        if (!entry->starting && entry->last_error && env_.now() < entry->not_before) {
            co_return std::unexpected(*entry->last_error);
        }
        if (!entry->starting) {
            entry->starting = true;
            tasks_.spawn("start engine", start_engine(model, entry));
        }
        if (!std::exchange(told, true) && loading) {
            loading();
        }
        if (entry->starting) {  // it may have failed already
            co_await entry->changed.wait();
        }
        if (!entry->starting && entry->last_error) {
            co_return std::unexpected(*entry->last_error);
        }
    }
    co_return entry->engine->request(kind, body);
}

Task<> Pool::start_engine(ModelDigest model, std::shared_ptr<Entry> entry)
{
    struct Started {
        Entry& entry;
        ~Started()
        {
            entry.starting = false;
            entry.changed.notify();
        }
    };
    auto const started = Started{*entry};
    auto engine = co_await launch(model, entry);
    if (engine) {
        entry->engine = std::move(*engine);
        entry->last_error.reset();
        entry->pause = {};
        co_return;
    }
    log::warning("a model could not be started", {{"model", model.text()}, {"reason", engine.error().text}});
    if (engine.error().kind == ErrorKind::not_found) {
        entries_.erase(model);  // any member may ask for any digest; those who wait hold the entry
    }
    entry->last_error = engine.error();
    entry->pause = std::clamp<Duration>(entry->pause * 2, first_pause, longest_pause);
    entry->not_before = env_.now() + entry->pause;
}

Task<Result<std::shared_ptr<EngineProcess>>> Pool::launch(ModelDigest model, std::shared_ptr<Entry> entry)
{
    auto file = co_await source_.open(model);
    if (!file) {
        co_return std::unexpected(file.error());
    }
    auto options = ProcessOptions{};
    options.program = options_.program;
    options.arguments = options_.arguments;
    options.file = std::move(*file);
    options.forbidden_paths = options_.forbidden_paths;
    options.memory_limit_bytes = options_.memory_limit_bytes;
    if (stopping_) {
        co_return fail(ErrorKind::closed, "the device is stopping");
    }
    auto process = env_.processes().start(std::move(options));
    if (!process) {
        co_return std::unexpected(process.error());
    }
    auto engine = std::make_shared<EngineProcess>(env_, std::move(*process), [this, model] { engine_changed(model); });
    tasks_.spawn("engine", serve(model, entry, engine));
    auto const deadline = env_.deadline_in(options_.load_limit);
    auto const loaded = co_await engine->load(parameters(model), deadline);
    if (!loaded) {
        engine->end();
        co_return std::unexpected(loaded.error());
    }
    if (options_.on_walls) {
        options_.on_walls(*engine->walls());
    }
    co_return engine;
}

Task<> Pool::serve(ModelDigest model, std::shared_ptr<Entry> entry, std::shared_ptr<EngineProcess> engine)
{
    running_.push_back(engine);
    co_await engine->run();
    std::erase(running_, engine);
    if (entry->engine == engine) {
        entry->engine.reset();
        engine_changed(model);
    }
}

void Pool::engine_changed(ModelDigest const& model)
{
    if (auto const found = entries_.find(model); found != entries_.end()) {
        arm_idle_timer(model, *found->second);
    }
    for (auto const& action : actions_) {
        action();
    }
}

void Pool::arm_idle_timer(ModelDigest const& model, Entry& entry)
{
    env_.cancel_timer(std::exchange(entry.idle_timer, 0));
    if (stopping_ || !entry.engine || entry.engine->busy() > 0) {
        return;
    }
    entry.idle_timer = env_.start_timer(env_.now() + options_.idle_limit, [this, model] { unload(model); });
}

std::vector<LoadedModel> Pool::loaded() const
{
    auto models = std::vector<LoadedModel>{};
    for (auto const& [digest, entry] : entries_) {
        if (entry->engine && !entry->engine->ended()) {
            models.push_back({digest, entry->engine->slots(), entry->engine->busy(), entry->engine->context()});
        }
    }
    return models;
}

bool Pool::unload(ModelDigest const& model)
{
    auto const found = entries_.find(model);
    if (found == entries_.end() || !found->second->engine) {
        return false;
    }
    found->second->engine->end();
    return true;
}

int Pool::process_of(ModelDigest const& model) const
{
    auto const found = entries_.find(model);
    return found == entries_.end() || !found->second->engine ? 0 : found->second->engine->id();
}

Task<> Pool::stop()
{
    stopping_ = true;
    for (auto const& [digest, entry] : entries_) {
        env_.cancel_timer(entry->idle_timer);
    }
    auto const starting = [this] {
        return std::ranges::any_of(entries_, [](auto const& item) { return item.second->starting; });
    };
    while (!running_.empty() || starting()) {
        for (auto const& engine : running_) {
            engine->end();
        }
        co_await sleep_for(env_, stop_poll);
    }
    co_await tasks_.join();
}

}  // namespace

std::unique_ptr<Inference> make_inference(Env& env, ModelSource& source, Options options)
{
    return std::make_unique<Pool>(env, source, std::move(options));
}

}  // namespace plexus::inference
