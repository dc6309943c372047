#include "inference/inference.h"

#include "base/log.h"
#include "inference/engine_process.h"
#include "inference/memory_budget.h"

namespace plexus::inference {

namespace {

constexpr auto engine_spare_bytes = std::uint64_t{1} << 30;  // of the limit, over twice the prediction
constexpr auto no_memory_limit = std::numeric_limits<std::uint64_t>::max();
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
    bool used_gpu = false;         // the last process that was started
    bool pinned = false;
    std::size_t wanting = 0;       // who waits for the engine
    std::optional<Duration> keep;  // after its last use, instead of the limit of all
    Env::TimerId idle_timer = 0;
    std::optional<Time> leaves;
    Signal changed;
};

class Pool final : public Inference {
public:
    Pool(Env& env, ModelSource& source, Options options)
        : env_(env), source_(source), options_(std::move(options)), room_changed_(env.executor()),
          tasks_(env.executor())
    {
    }

    Task<Result<std::unique_ptr<Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                    std::function<void()> loading) override;
    Task<Result<LoadedModel>> load(ModelDigest model) override;
    void keep(ModelDigest const& model, std::optional<Duration> after_use) override;
    void pin(ModelDigest const& model, bool pinned) override;
    std::vector<ModelDigest> pinned() const override;
    std::vector<LoadedModel> loaded() const override;
    bool unload(ModelDigest const& model) override;
    void on_change(std::function<void()> action) override { actions_.push_back(std::move(action)); }
    int process_of(ModelDigest const& model) const override;
    Task<> stop() override;

private:
    std::shared_ptr<Entry> entry_of(ModelDigest const& model);
    LoadedModel loaded_model(Entry const& entry) const;
    Task<Result<std::shared_ptr<EngineProcess>>> ready_engine(ModelDigest model, std::function<void()> loading);
    Task<Result<EngineStart>> make_room(ModelDigest model);
    std::vector<MemoryClaim> claims() const;
    Error too_little(std::uint64_t need, std::uint64_t obtainable) const;
    Task<> start_engine(ModelDigest model, std::shared_ptr<Entry> entry);
    Task<Result<std::shared_ptr<EngineProcess>>> launch_somewhere(ModelDigest model, std::shared_ptr<Entry> entry);
    Task<Result<std::shared_ptr<EngineProcess>>> launch(ModelDigest model, std::shared_ptr<Entry> entry);
    Task<> serve(ModelDigest model, std::shared_ptr<Entry> entry, std::shared_ptr<EngineProcess> engine);
    void engine_changed(ModelDigest const& model);
    void arm_idle_timer(ModelDigest const& model, Entry& entry);
    std::string parameters(ModelDigest const& model, EngineShape shape, std::uint32_t gpu_layers) const;
    std::uint64_t memory_limit(std::uint64_t predicted) const;

    Env& env_;
    ModelSource& source_;
    Options options_;
    std::map<ModelDigest, std::shared_ptr<Entry>> entries_;
    std::vector<std::function<void()>> actions_;
    std::vector<std::shared_ptr<EngineProcess>> running_;  // in the order of their starts
    std::map<ModelDigest, std::uint64_t> promised_;        // bytes, to engines that are not started yet
    std::size_t waiting_for_room_ = 0;
    bool stopping_ = false;
    Signal room_changed_;
    TaskScope tasks_;
};

std::string Pool::parameters(ModelDigest const& model, EngineShape shape, std::uint32_t gpu_layers) const
{
    auto const gives_vectors = source_.traits(model).gives_vectors;
    return fmt::format(
        R"({{"context":{},"slots":{},"threads":{},"embedding":{},"speculate":{},"keep_prompts":{},"gpu_layers":{}}})",
        shape.context, shape.slots, options_.threads, gives_vectors, options_.speculates && !gives_vectors,
        options_.keeps_prompts, gpu_layers);
}

/// Twice what the model should need and some room: a prediction that is off does not end the engine, a template or a
/// grammar that grows without end does.
std::uint64_t Pool::memory_limit(std::uint64_t predicted) const
{
    if (predicted == 0 || options_.memory_limit_bytes == 0) {
        return options_.memory_limit_bytes;
    }
    return std::min(options_.memory_limit_bytes, 2 * predicted + engine_spare_bytes);
}

std::shared_ptr<Entry> Pool::entry_of(ModelDigest const& model)
{
    auto& entry = entries_[model];
    if (!entry) {
        entry = std::make_shared<Entry>(env_.executor());
    }
    return entry;
}

Task<Result<std::unique_ptr<Generation>>> Pool::start(ModelDigest model, TaskKind kind, std::string body,
                                                      std::function<void()> loading)
{
    auto const engine = co_await ready_engine(model, std::move(loading));
    if (!engine) {
        co_return std::unexpected(engine.error());
    }
    co_return (*engine)->request(kind, body);
}

Task<Result<LoadedModel>> Pool::load(ModelDigest model)
{
    auto const engine = co_await ready_engine(model, {});
    if (!engine) {
        co_return std::unexpected(engine.error());
    }
    auto const entry = entry_of(model);
    (*engine)->touch();
    engine_changed(model);
    co_return loaded_model(*entry);
}

Task<Result<std::shared_ptr<EngineProcess>>> Pool::ready_engine(ModelDigest model, std::function<void()> loading)
{
    struct Wanting {
        std::size_t& count;
        explicit Wanting(std::size_t& counter) : count(counter) { ++count; }
        ~Wanting() { --count; }
    };
    auto const entry = entry_of(model);
    auto const wanting = Wanting(entry->wanting);
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
    co_return entry->engine;
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
    auto engine = co_await launch_somewhere(model, entry);
    if (engine) {
        entry->engine = std::move(*engine);
        entry->last_error.reset();
        entry->pause = {};
        engine_changed(model);
        co_return;
    }
    log::warning("a model could not be started", {{"model", model.text()}, {"reason", engine.error().text}});
    if (engine.error().kind == ErrorKind::not_found && !entry->pinned) {
        entries_.erase(model);  // any member may ask for any digest; those who wait hold the entry
    }
    entry->last_error = engine.error();
    if (engine.error().kind == ErrorKind::out_of_space) {
        entry->last_error->kind = ErrorKind::unavailable;  // it may fit the next moment, or on another device
        co_return;
    }
    entry->pause = std::clamp<Duration>(entry->pause * 2, first_pause, longest_pause);
    entry->not_before = env_.now() + entry->pause;
}

/// On the GPU, or if that fails on the processor.
Task<Result<std::shared_ptr<EngineProcess>>> Pool::launch_somewhere(ModelDigest model, std::shared_ptr<Entry> entry)
{
    auto engine = co_await launch(model, entry);
    if (engine || !entry->used_gpu || !source_.doubt_gpu()) {
        co_return engine;
    }
    auto const reason = engine.error();
    engine = co_await launch(model, entry);
    source_.judge_gpu(engine ? std::optional(reason) : std::nullopt);
    co_return engine;
}

Task<Result<std::shared_ptr<EngineProcess>>> Pool::launch(ModelDigest model, std::shared_ptr<Entry> entry)
{
    entry->used_gpu = false;
    auto file = co_await source_.open(model);
    if (!file) {
        co_return std::unexpected(file.error());
    }
    auto const draft = source_.draft_of(model);
    auto draft_file = std::shared_ptr<File const>{};
    if (draft) {
        auto opened = co_await source_.open(*draft);
        if (!opened) {
            co_return fail(opened.error().kind, "its draft model: {}", opened.error().text);
        }
        draft_file = std::move(*opened);
    }
    auto start = co_await make_room(model);
    if (!start) {
        co_return std::unexpected(start.error());
    }
    start->draft = draft;
    auto options = ProcessOptions{};
    options.program = options_.program;
    options.arguments = options_.arguments;
    entry->used_gpu = !start->gpu.device.empty();
    if (entry->used_gpu) {
        options.arguments.insert(options.arguments.end(), {"--gpu", start->gpu.device});
    }
    options.file = std::move(*file);
    options.second_file = std::move(draft_file);
    options.forbidden_paths = options_.forbidden_paths;
    options.memory_limit_bytes = memory_limit(start->predicted_bytes);
    promised_.erase(model);
    if (stopping_) {
        co_return fail(ErrorKind::closed, "the device is stopping");
    }
    auto process = env_.processes().start(std::move(options));
    if (!process) {
        co_return std::unexpected(process.error());
    }
    auto const shape = start->shape;
    auto const gpu_layers = start->gpu.layers;
    auto engine = std::make_shared<EngineProcess>(env_, std::move(*process), std::move(*start),
                                                  [this, model] { engine_changed(model); });
    tasks_.spawn("engine", serve(model, entry, engine));
    auto const deadline = env_.deadline_in(options_.load_limit);
    auto const loaded = co_await engine->load(parameters(model, shape, gpu_layers), deadline);
    if (!loaded) {
        engine->end();
        co_return std::unexpected(loaded.error());
    }
    if (options_.on_walls) {
        options_.on_walls(*engine->walls());
    }
    auto const& memory = engine->memory();
    log::info("a model is in memory", {{"model", model.text()},
                                       {"context", engine->context()},
                                       {"slots", engine->slots()},
                                       {"backend", engine->backend()},
                                       {"predicted", size_text(engine->start().predicted_bytes)},
                                       {"used", size_text(memory.resident)}});
    co_return engine;
}

std::vector<MemoryClaim> Pool::claims() const
{
    using State = MemoryClaim::State;
    auto claims = std::vector<MemoryClaim>{};
    for (auto const& [model, bytes] : promised_) {
        claims.push_back({.model = model, .bytes = bytes, .state = State::busy});
    }
    for (auto const& engine : running_) {
        auto const found = entries_.find(engine->start().model);
        auto const is_known = found != entries_.end();
        auto const is_idle = engine->is_ready() && engine->busy() == 0 && is_known && found->second->wanting == 0;
        auto const state = engine->is_leaving()                ? State::leaving
                           : is_known && found->second->pinned ? State::pinned
                           : is_idle                           ? State::idle
                                                               : State::busy;
        claims.push_back({.model = engine->start().model,
                          .bytes = engine->start().predicted_bytes,
                          .state = state,
                          .last_used = engine->last_used()});
    }
    return claims;
}

Error Pool::too_little(std::uint64_t need, std::uint64_t obtainable) const
{
    return {
        ErrorKind::out_of_space,
        fmt::format("the model needs {} of memory, {} can be had; unpin a model, choose a smaller one, or give more "
                    "with engine.memory_mb",
                    size_text(need), size_text(obtainable))};
}

/// Waits until the model fits; what it was promised is in promised_.
Task<Result<EngineStart>> Pool::make_room(ModelDigest model)
{
    auto const need_of = [&](EngineShape shape) { return source_.memory_need(model, shape); };
    auto const set = EngineShape{.context = options_.context, .slots = options_.slots};
    auto const memory = options_.memory_for_engines ? options_.memory_for_engines() : no_memory_limit;
    auto const wanted = engine_shape(set, source_.traits(model), memory, need_of);
    if (!options_.memory_for_engines || need_of(wanted) == 0) {
        co_return EngineStart{
            .model = model, .shape = wanted, .predicted_bytes = need_of(wanted), .gpu = source_.gpu_use(model, wanted)};
    }
    struct Counted {
        std::size_t& count;
        explicit Counted(std::size_t& counter) : count(counter) { ++count; }
        ~Counted() { --count; }
    };
    if (waiting_for_room_ >= max_waiting_for_memory) {
        co_return fail(ErrorKind::out_of_space, "{} models wait for memory already", waiting_for_room_);
    }
    auto const counted = Counted(waiting_for_room_);
    auto const until = env_.now() + options_.room_limit;
    auto const alarm = Alarm(env_, until, [this] { room_changed_.notify(); });
    for (;;) {
        if (stopping_) {
            co_return fail(ErrorKind::closed, "the device is stopping");
        }
        auto const limit = options_.memory_for_engines();
        auto const held = claims();
        auto const shape = fit_shape(wanted, obtainable_bytes(held, limit), need_of);
        if (!shape) {
            auto const least = EngineShape{.context = std::min(wanted.context, least_context), .slots = 1};
            co_return std::unexpected(too_little(need_of(least), obtainable_bytes(held, limit)));
        }
        auto const need = need_of(*shape);
        auto const plan = plan_room(held, need, limit);
        if (plan.room == RoomPlan::Room::there) {
            promised_[model] = need;
            co_return EngineStart{.model = model,
                                  .shape = *shape,
                                  .is_reduced = *shape != wanted,
                                  .predicted_bytes = need,
                                  .gpu = source_.gpu_use(model, *shape)};
        }
        for (auto const& idle : plan.to_end) {
            log::info("a model leaves memory for another one", {{"model", idle.text()}, {"for", model.text()}});
            unload(idle);
        }
        if (env_.now() >= until) {
            co_return fail(ErrorKind::out_of_space,
                           "the model needs {} of memory, which busy models hold; try again when they have answered",
                           size_text(need));
        }
        co_await room_changed_.wait();
    }
}

Task<> Pool::serve(ModelDigest model, std::shared_ptr<Entry> entry, std::shared_ptr<EngineProcess> engine)
{
    running_.push_back(engine);
    co_await engine->run();
    std::erase(running_, engine);
    if (entry->engine == engine) {
        entry->engine.reset();
    }
    engine_changed(model);
}

void Pool::engine_changed(ModelDigest const& model)
{
    if (auto const found = entries_.find(model); found != entries_.end()) {
        arm_idle_timer(model, *found->second);
    }
    room_changed_.notify();
    for (auto const& action : actions_) {
        action();
    }
}

void Pool::arm_idle_timer(ModelDigest const& model, Entry& entry)
{
    env_.cancel_timer(std::exchange(entry.idle_timer, 0));
    entry.leaves.reset();
    auto const limit = entry.keep.value_or(options_.idle_limit);
    if (stopping_ || !entry.engine || entry.engine->busy() > 0 || entry.pinned || limit < Duration::zero()) {
        return;
    }
    entry.leaves = env_.now() + limit;
    entry.idle_timer = env_.start_timer(*entry.leaves, [this, model] { unload(model); });
}

void Pool::keep(ModelDigest const& model, std::optional<Duration> after_use)
{
    entry_of(model)->keep = after_use;
}

void Pool::pin(ModelDigest const& model, bool pinned)
{
    auto const entry = entry_of(model);
    entry->pinned = pinned;
    engine_changed(model);
}

std::vector<ModelDigest> Pool::pinned() const
{
    auto models = std::vector<ModelDigest>{};
    for (auto const& [digest, entry] : entries_) {
        if (entry->pinned) {
            models.push_back(digest);
        }
    }
    return models;
}

LoadedModel Pool::loaded_model(Entry const& entry) const
{
    auto const& engine = *entry.engine;
    return {.digest = engine.start().model,
            .slots = engine.slots(),
            .busy = engine.busy(),
            .context = engine.context(),
            .is_pinned = entry.pinned,
            .is_reduced = engine.start().is_reduced,
            .predicted_bytes = engine.start().predicted_bytes,
            .used = engine.memory(),
            .backend = engine.backend(),
            .gpu = engine.gpu(),
            .leaves = entry.leaves,
            .draft = engine.start().draft,
            .drafted_tokens = engine.drafted_tokens(),
            .accepted_tokens = engine.accepted_tokens()};
}

std::vector<LoadedModel> Pool::loaded() const
{
    auto models = std::vector<LoadedModel>{};
    for (auto const& [digest, entry] : entries_) {
        if (entry->engine && !entry->engine->ended()) {
            models.push_back(loaded_model(*entry));
        }
    }
    return models;
}

bool Pool::unload(ModelDigest const& model)
{
    auto const found = entries_.find(model);
    if (found == entries_.end()) {
        return false;
    }
    found->second->last_error.reset();
    found->second->pause = {};
    if (!found->second->engine) {
        return false;
    }
    auto const engine = std::move(found->second->engine);
    found->second->engine.reset();
    engine->end();
    engine_changed(model);
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
        room_changed_.notify();
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
