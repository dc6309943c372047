#include "node/device.h"

#include <charconv>

#include "base/text.h"
#include "catalog/hardware.h"
#include "inference/memory_budget.h"
#include "models/memory_estimate.h"
#include "node/external_engines.h"

namespace plexus::node {

namespace {

constexpr std::size_t max_port_file_bytes = 16;
constexpr std::size_t max_pins_file_bytes = 64 * 1024;
constexpr std::size_t max_drafts_file_bytes = 64 * 1024;

// What engines leave to everything else.
constexpr std::uint64_t least_reserve_bytes = 512'000'000;
constexpr std::uint64_t reserve_share = 16;  // of all memory

catalog::Model offered(models::Model const& model, std::uint32_t context)
{
    return {.digest = model.digest,
            .names = {model.name},
            .size_bytes = model.size_bytes,
            .architecture = model.summary.architecture,
            .quantization = model.summary.quantisation,
            .parameters = model.summary.parameters,
            .context_length = context,
            .capabilities = capabilities_of(model.summary),
            .created_seconds = static_cast<std::uint64_t>(
                std::chrono::floor<std::chrono::seconds>(model.added).time_since_epoch().count()),
            .loaded = {},
            .speed = {}};
}

catalog::LoadedModel in_memory(inference::LoadedModel const& model)
{
    return {.digest = model.digest, .state = {.slots = model.slots, .busy = model.busy, .context = model.context}};
}

inference::ModelTraits traits_of(models::GgufSummary const& model)
{
    auto const context = std::min<std::uint64_t>(model.context_length, std::numeric_limits<std::uint32_t>::max());
    return {.gives_vectors = model.is_embedding, .max_context = static_cast<std::uint32_t>(context)};
}

std::filesystem::path port_file(Paths const& paths)
{
    return paths.state / "mesh-port";
}

std::filesystem::path pins_file(Paths const& paths)
{
    return paths.state / "pinned-models";
}

/// There while the owner wants no tasks of others here.
std::filesystem::path pause_file(Paths const& paths)
{
    return paths.state / "paused";
}

std::filesystem::path drafts_file(Paths const& paths)
{
    return paths.state / "draft-models";
}

/// The port of the last run, so that the others find this device where it was; 0 if there was none.
std::uint16_t last_port(Disk& disk, Paths const& paths)
{
    auto const content = disk.read_file(port_file(paths), max_port_file_bytes);
    auto port = std::uint16_t{0};
    if (content) {
        auto const text = as_text(*content);
        std::from_chars(text.data(), text.data() + text.size(), port);
    }
    return port;
}

}  // namespace

std::uint32_t capabilities_of(models::GgufSummary const& summary)
{
    if (!summary.is_embedding) {
        return catalog::can_chat;
    }
    return summary.is_reranker ? catalog::can_rerank : catalog::can_embed;
}

Device::Device(Env& env, DeviceOptions options)
    : env_(env), options_(std::move(options)), started_(env.now()), tasks_(env.executor())
{
}

Device::~Device() = default;

Result<std::unique_ptr<Device>> Device::open(Env& env, DeviceOptions options)
{
    auto device = std::unique_ptr<Device>(new Device(env, std::move(options)));
    auto const& paths = device->options_.paths;
    auto store = models::Store::open(env, paths.data / "models");
    if (!store) {
        return std::unexpected(store.error());
    }
    device->store_ = std::move(*store);
    device->store_->set_quota(device->options_.config.models.quota_gb * 1'000'000'000);
    auto membership = membership::Membership::open(env, paths.data, device->options_.name);
    if (!membership) {
        return std::unexpected(membership.error());
    }
    device->membership_ = std::move(*membership);
    device->connect_parts();
    return device;
}

void Device::connect_parts()
{
    auto const& engine = options_.config.engine;
    gpu_ = std::make_unique<EngineGpu>(env_, options_.engine_program,
                                       GpuWish{.device = engine.gpu, .layers = engine.gpu_layers});
    sandbox_ = std::make_unique<EngineSandbox>(env_, options_.engine_program, forbidden_paths(),
                                               [this] { return gpu_->name_of_chosen(); });
    inference_ = inference::make_inference(env_, *this, inference_options());
    host_ = host::make_host(env_, membership_->identity(), *membership_);
    catalog_ = catalog::make_catalog(env_);
    external_ = std::make_unique<inference::ExternalEngines>(env_, membership_->self().text(), [this] {
        publish_models();
        publish_loaded();
    });
    runner_ = scheduling::make_runner(*inference_, external_.get());
    auto options = scheduling::Options{};
    options.name_of = [this](multiformats::PeerId const& device) { return name_of(device); };
    scheduler_ = scheduling::make_scheduler(env_, *host_, *catalog_, *runner_, std::move(options));
    blobs_ = blobs::make_blobs(env_, *host_, *catalog_, *store_,
                               {.holder = {}, .name_of = [this](auto const& device) { return name_of(device); }});
    store_->on_change([this] { publish_models(); });
    inference_->on_change([this] { publish_loaded(); });
    membership_->on_change([this] { members_changed(); });
}

std::vector<std::string> Device::forbidden_paths() const
{
    auto const& paths = options_.paths;
    return {(paths.data / "identity.key").string(), (paths.data / "membership.log").string(),
            (paths.data / "models").string(), paths.api_token().string(), paths.socket.string()};
}

inference::Options Device::inference_options() const
{
    auto const& config = options_.config.engine;
    return {.program = options_.engine_program,
            .forbidden_paths = forbidden_paths(),
            .arguments = {},
            .context = config.context,
            .slots = config.slots,
            .threads = config.threads == 0 ? options_.cores : config.threads,
            .keeps_prompts = config.prompt_cache,
            .speculates = config.speculation,
            .memory_limit_bytes = catalog::probe_memory(env_.disk()).total_bytes,
            .memory_for_engines = [this] { return memory_for_engines(); },
            .idle_limit = std::chrono::minutes(config.idle_minutes),
            .on_walls = [this](sandbox::Report const& report) { sandbox_->take(report); }};
}

Result<void> Device::start()
{
    if (auto listening = listen(); !listening) {
        return listening;
    }
    membership_->start(*host_);
    catalog_->start(*host_);
    gpu_->start([this] { publish_gpus(); });
    paused_ = env_.disk().status(pause_file(options_.paths)).has_value();
    scheduler_->set_paused(paused_);
    read_drafts();
    publish_models();
    read_pins();
    read_external();
    if (options_.config.mesh.discovery) {
        look_around();
    }
    return {};
}

void Device::look_around()
{
    auto options = discovery::Options{};
    options.addresses = [this] { return host_->listen_addresses(); };
    options.found = [this](discovery::Neighbour const& neighbour) {
        membership_->heard_of(neighbour.peer, neighbour.addresses);
    };
    options.network_changed = [this] { membership_->try_again(); };
    discovery_ = std::make_unique<discovery::Discovery>(env_, membership_->self(), std::move(options));
    discovery_->start();
}

std::uint64_t Device::memory_need(inference::ModelDigest const& model, inference::EngineShape shape) const
{
    auto const* held = store_->find(model.text());
    if (held == nullptr) {
        return 0;
    }
    auto const share = share_on_gpu(*held, shape);
    return share ? share->main_bytes : estimate(*held, shape).total();
}

models::MemoryEstimate Device::estimate(models::Model const& model, inference::EngineShape shape) const
{
    auto const alone = models::estimate_memory(model.summary, shape.context, shape.slots);
    auto const draft = draft_of(model.digest);
    auto const* held = draft ? store_->find(draft->text()) : nullptr;
    return held == nullptr ? alone : alone + models::estimate_draft(held->summary, shape.context, shape.slots);
}

inference::EngineShape Device::fitting(inference::ModelTraits const& traits, std::uint64_t memory, std::uint64_t pinned,
                                       std::function<std::uint64_t(inference::EngineShape)> const& need) const
{
    auto const& config = options_.config.engine;
    auto const set = inference::EngineShape{.context = config.context, .slots = config.slots};
    auto const wanted = inference::engine_shape(set, traits, memory, need);
    return inference::fit_shape(wanted, memory - std::min(memory, pinned), need).value_or(wanted);
}

inference::EngineShape Device::shape_for(models::GgufSummary const& model, std::uint64_t memory) const
{
    return fitting(traits_of(model), memory, 0, [&](inference::EngineShape shape) {
        return models::estimate_memory(model, shape.context, shape.slots).total();
    });
}

inference::EngineShape Device::shape_of(models::Model const& model, std::uint64_t memory) const
{
    auto pinned = std::uint64_t{0};
    for (auto const& loaded : inference_->loaded()) {
        if (loaded.digest == model.digest && loaded.context > 0) {
            return {.context = loaded.context, .slots = loaded.slots};
        }
        pinned += loaded.is_pinned ? loaded.predicted_bytes : 0;
    }
    return fitting(traits_of(model.summary), memory, pinned,
                   [&](inference::EngineShape shape) { return memory_need(model.digest, shape); });
}

inference::GpuUse Device::gpu_use(inference::ModelDigest const& model, inference::EngineShape shape) const
{
    auto const* held = store_->find(model.text());
    auto const share = held == nullptr ? std::nullopt : share_on_gpu(*held, shape);
    if (!share || share->layers == 0) {
        return {};
    }
    return {.device = gpu_->chosen()->name, .layers = share->layers};
}

std::optional<GpuShare> Device::share_on_gpu(models::Model const& model, inference::EngineShape shape) const
{
    auto const* device = gpu_->chosen();
    if (device == nullptr) {
        return std::nullopt;
    }
    auto taken = std::uint64_t{0};
    for (auto const& loaded : inference_->loaded()) {
        taken += loaded.used.on_gpu;
    }
    return share_of(estimate(model, shape), model.summary.block_count, *device, gpu_->wish().layers, taken);
}

std::uint64_t Device::memory_for_engines() const
{
    if (options_.config.engine.memory_mb > 0) {
        return options_.config.engine.memory_mb * 1'000'000;
    }
    auto const memory = catalog::probe_memory(env_.disk());
    if (memory.total_bytes == 0) {
        return std::numeric_limits<std::uint64_t>::max();  // the system does not tell
    }
    auto obtainable = memory.available_bytes;
    for (auto const& model : inference_->loaded()) {
        // Mapped weights count as available, since the system could drop them.
        auto const mapped = model.used.weights - std::min(model.used.weights, model.used.on_gpu);
        obtainable += model.used.resident - std::min(model.used.resident, mapped);
    }
    auto const reserve = std::max(least_reserve_bytes, memory.total_bytes / reserve_share);
    return obtainable - std::min(obtainable, reserve);
}

Result<void> Device::pin(inference::ModelDigest const& model, bool pinned)
{
    inference_->pin(model, pinned);
    return write_pins();
}

Result<void> Device::pause(bool paused)
{
    auto const file = pause_file(options_.paths);
    auto const kept = paused ? env_.disk().write_file(file, {}, 0600) : env_.disk().remove(file);
    if (kept || (!paused && kept.error().kind == ErrorKind::not_found)) {
        paused_ = paused;
        scheduler_->set_paused(paused);
        return {};
    }
    return kept;
}

Result<void> Device::write_pins()
{
    auto text = std::string{};
    for (auto const& model : inference_->pinned()) {
        text += model.text() + "\n";
    }
    return env_.disk().write_file(pins_file(options_.paths), as_view(text), 0600);
}

void Device::read_pins()
{
    auto const content = env_.disk().read_file(pins_file(options_.paths), max_pins_file_bytes);
    auto text = content ? as_text(*content) : std::string_view{};
    while (!text.empty()) {
        auto const line = take_line(text);
        auto const model = inference::ModelDigest::from_text(line);
        if (model && store_->find(model->text()) != nullptr) {
            inference_->pin(*model, true);
            tasks_.spawn("load a pinned model", load_pinned(*model));
        }
    }
}

std::optional<inference::ModelDigest> Device::draft_of(inference::ModelDigest const& model) const
{
    auto const found = drafts_.find(model);
    return found == drafts_.end() ? std::nullopt : std::optional(found->second);
}

Result<void> Device::set_draft(inference::ModelDigest const& model, std::optional<inference::ModelDigest> draft)
{
    if (draft) {
        drafts_[model] = *draft;
    } else {
        drafts_.erase(model);
    }
    publish_models();
    return write_drafts();
}

Result<void> Device::write_drafts()
{
    auto text = std::string{};
    for (auto const& [model, draft] : drafts_) {
        text += model.text() + " " + draft.text() + "\n";
    }
    return env_.disk().write_file(drafts_file(options_.paths), as_view(text), 0600);
}

void Device::read_drafts()
{
    auto const content = env_.disk().read_file(drafts_file(options_.paths), max_drafts_file_bytes);
    auto text = content ? as_text(*content) : std::string_view{};
    while (!text.empty()) {
        auto const line = take_line(text);
        auto const space = std::min(line.find(' '), line.size());
        auto const model = inference::ModelDigest::from_text(line.substr(0, space));
        auto const draft = inference::ModelDigest::from_text(line.substr(std::min(space + 1, line.size())));
        if (model && draft) {
            drafts_[*model] = *draft;
        }
    }
}

/// A model that has left the store guesses no more, and nothing guesses for it.
void Device::forget_drafts()
{
    auto const is_held = [this](inference::ModelDigest const& model) { return store_->find(model.text()) != nullptr; };
    auto const gone = std::erase_if(drafts_,
                                    [&](auto const& pair) { return !is_held(pair.first) || !is_held(pair.second); });
    if (gone > 0) {
        std::ignore = write_drafts();
    }
}

Task<> Device::load_pinned(inference::ModelDigest model)
{
    std::ignore = co_await inference_->load(model);  // it logs why it could not
}

Result<void> Device::listen()
{
    auto const& mesh = options_.config.mesh;
    auto listening = listen_on(mesh.port);
    if (listening || mesh.port_is_set || listening.error().kind != ErrorKind::conflict) {
        return listening;
    }
    log::warning("the mesh port is taken, using another one", {{"port", mesh.port}});
    listening = listen_on(last_port(env_.disk(), options_.paths));
    return listening ? listening : listen_on(0);
}

Result<void> Device::listen_on(std::uint16_t port)
{
    auto const address = asio::ip::make_address(options_.config.mesh.address);
    auto const bound = host_->listen(multiformats::Multiaddr::from_tcp({address, port}));
    if (!bound) {
        return std::unexpected(bound.error());
    }
    auto const text = std::to_string(bound->tcp_endpoint().value_or(Endpoint{}).port);
    std::ignore = env_.disk().write_file(port_file(options_.paths), as_view(text), 0600);
    return {};
}

Task<> Device::stop()
{
    if (discovery_) {
        co_await discovery_->stop();
    }
    co_await scheduler_->stop();
    co_await blobs_->stop();
    co_await catalog_->stop();
    co_await membership_->stop();
    co_await host_->stop();
    co_await inference_->stop();
    co_await external_->stop();
    co_await gpu_->stop();
    co_await sandbox_->stop();
    co_await tasks_.join();
}

Task<Result<std::shared_ptr<File const>>> Device::open(inference::ModelDigest model)
{
    co_await gpu_->wait();  // before the engine's place is chosen
    auto file = co_await store_->open_model(model);
    if (!file && store_->find(model.text()) != nullptr) {
        // Not the fault of the request: another device may do better.
        co_return fail(ErrorKind::unavailable, "{}", file.error().text);
    }
    co_return file;
}

inference::ModelTraits Device::traits(inference::ModelDigest const& digest) const
{
    auto const* model = store_->find(digest.text());
    return model == nullptr ? inference::ModelTraits{} : traits_of(model->summary);
}

/// Members join the list after they were heard of on a link, too.
void Device::members_changed()
{
    if (discovery_) {
        for (auto const& neighbour : discovery_->neighbours()) {
            membership_->heard_of(neighbour.peer, neighbour.addresses);
        }
    }

    for (auto const& entry : catalog_->entries()) {
        if (!entry.is_self && !membership_->find(entry.device)) {
            catalog_->forget(entry.device);
        }
    }
}

void Device::publish_models()
{
    forget_drafts();
    auto const memory = memory_for_engines();
    auto offer = std::vector<catalog::Model>{};
    for (auto const& model : store_->list()) {
        offer.push_back(offered(model, shape_of(model, memory).context));
    }
    for (auto& model : offered(external_->list())) {
        offer.push_back(std::move(model));
    }
    catalog_->set_models(std::move(offer));
    for (auto const& pinned : inference_->pinned()) {
        if (store_->find(pinned.text()) == nullptr) {
            std::ignore = pin(pinned, false);
        }
    }
}

void Device::publish_loaded()
{
    auto loaded = std::vector<catalog::LoadedModel>{};
    auto digests = std::vector<inference::ModelDigest>{};
    for (auto const& model : inference_->loaded()) {
        loaded.push_back(in_memory(model));
        digests.push_back(model.digest);
    }
    for (auto const& model : external_->loaded()) {
        loaded.push_back(in_memory(model));
    }
    catalog_->set_loaded(std::move(loaded));
    if (std::exchange(in_memory_, digests) != digests) {
        publish_models();  // the memory for the others is another now
    }
}

void Device::publish_gpus()
{
    auto gpus = std::vector<catalog::Gpu>{};
    for (auto const& device : gpu_->found().devices) {
        if (device.kind != stream::DeviceKind::software) {
            gpus.push_back({.name = device.name, .memory_bytes = device.memory_bytes});
        }
    }
    catalog_->set_gpus(std::move(gpus));
}

std::string Device::name_of(multiformats::PeerId const& device) const
{
    auto const member = membership_->find(device);
    return member ? member->name : device.short_text();
}

}  // namespace plexus::node
