#include "node/services.h"

#include <set>

#include "node/views.h"

namespace plexus::node {

namespace {

constexpr std::uint64_t little_space = 1ULL << 30;

template <typename Named>
std::vector<std::string> texts_of(std::vector<Named> const& list)
{
    auto texts = std::vector<std::string>{};
    for (auto const each : list) {
        texts.emplace_back(to_string(each));
    }
    return texts;
}

std::string text_of(sandbox::Grade grade)
{
    return {static_cast<char>(grade)};
}

api::SandboxView sandbox_view(std::optional<Result<sandbox::Report>> const& last)
{
    if (!last) {
        return {};
    }
    if (!*last) {
        return {.reason = last->error().text};
    }
    auto const& report = **last;
    return {.grade = text_of(report.grade()),
            .walls = texts_of(report.standing),
            .missing = texts_of(report.missing),
            .doors = texts_of(report.doors),
            .probes = report.probes,
            .digest = fmt::format("{:016x}", report.digest),
            .reason = {}};
}

api::CheckView discovery_check(discovery::Discovery const* discovery)
{
    if (discovery == nullptr) {
        return {.name = "local network", .is_good = true, .text = "not looked at: mesh.discovery is false", .next = ""};
    }
    if (discovery->is_copied()) {
        return {.name = "local network",
                .is_good = false,
                .text = "another device says that it is this one",
                .next =
                    "if its data was copied from here, delete its identity.key and let it join anew; "
                    "if not, somebody on the network lies, and nothing has to be done"};
    }
    return {.name = "local network",
            .is_good = true,
            .text = fmt::format("{} libp2p devices are to be seen", discovery->neighbours().size()),
            .next = ""};
}

/// A weak sandbox is good if the owner allows it: without that no engine starts. `took`: from the start of a process to its
/// report.
api::CheckView sandbox_check(Result<sandbox::Report> const& tested, Duration took)
{
    if (!tested) {
        return {.name = "sandbox",
                .is_good = false,
                .text = tested.error().text,
                .next =
                    "let programs have unprivileged user namespaces and Landlock, or set "
                    "engine.allow_weak_sandbox = true"};
    }
    auto text = fmt::format("grade {}: {} walls, proven by {} attempts in {:.1f} ms", text_of(tested->grade()),
                            tested->standing.size(), tested->probes,
                            std::chrono::duration<double, std::milli>(took).count());
    if (!tested->doors.empty()) {
        text += "; for the GPU " + names_of(tested->doors);
    }
    if (!tested->missing.empty()) {
        text += "; without " + names_of(tested->missing);
    }
    return {.name = "sandbox", .is_good = true, .text = std::move(text), .next = ""};
}

std::vector<api::GpuView> views_of(std::vector<stream::ComputeDevice> const& devices)
{
    auto views = std::vector<api::GpuView>{};
    for (auto const& device : devices) {
        views.push_back(
            {.name = device.name, .kind = std::string(to_string(device.kind)), .memory_bytes = device.memory_bytes});
    }
    return views;
}

api::ComputingView computing_view(EngineGpu const& gpu)
{
    auto const* chosen = gpu.chosen();
    return {.backend = gpu.found().backend,
            .gpu = chosen == nullptr ? "" : chosen->name,
            .gpus = views_of(gpu.found().devices),
            .problem = gpu.problem()};
}

/// Which backend this build has, what of this device it can use, and why not more.
std::string text_of(EngineGpu const& gpu)
{
    auto const& found = gpu.found();
    if (gpu.wish().device == "none") {
        return "models are computed on the processor, as engine.gpu says";
    }
    if (found.backend == "none") {
        return "models are computed on the processor: this build has no GPU backend (PLEXUS_GPU=vulkan make run)";
    }
    auto devices = std::string{};
    for (auto const& device : found.devices) {
        devices += fmt::format("{}{} ({}, {:.1f} GB)", devices.empty() ? "" : ", ", device.name, to_string(device.kind),
                               static_cast<double>(device.memory_bytes) / 1e9);
    }
    auto const* chosen = gpu.chosen();
    auto const none = found.problem.empty() ? "no GPU was found" : found.problem;
    return fmt::format(
        "{} is built in; {}; here: {}", found.backend,
        chosen == nullptr ? "models are computed on the processor" : "models are computed on " + chosen->name,
        devices.empty() ? none : devices);
}

api::CheckView gpu_check(EngineGpu const& gpu)
{
    auto const problem = gpu.problem();
    return {.name = "gpu",
            .is_good = problem.empty(),
            .text = problem.empty() ? text_of(gpu) : fmt::format("{}; {}", problem, text_of(gpu)),
            .next = problem.empty() ? "" : "set engine.gpu to none, or to the name of one that is here"};
}

/// A task of the scheduler as the API's answer.
class TaskAnswer final : public api::Answer {
public:
    TaskAnswer(Device& device, std::unique_ptr<scheduling::RunningTask> task) : device_(device), task_(std::move(task)) {}

    Task<Result<api::AnswerEvent>> next() override
    {
        auto event = co_await task_->next();
        if (!event) {
            co_return std::unexpected(std::move(event.error()));
        }
        co_return api::AnswerEvent{.kind = kind_of(event->kind), .text = std::move(event->text), .route = route_of(event->route)};
    }

private:
    using Kind = api::AnswerEvent::Kind;
    using TaskKind = scheduling::TaskEvent::Kind;

    static Kind kind_of(TaskKind kind)
    {
        switch (kind) {
        case TaskKind::routed: return Kind::routed;
        case TaskKind::waiting: return Kind::waiting;
        case TaskKind::chunk: return Kind::chunk;
        case TaskKind::finished: break;
        }
        return Kind::finished;
    }

    api::Route route_of(scheduling::Route const& route) const
    {
        if (route.device.empty()) {
            return {};
        }
        return {.device = device_.name_of(route.device), .model_digest = route.model.text()};
    }

    Device& device_;
    std::unique_ptr<scheduling::RunningTask> task_;
};

scheduling::TaskKind kind_of(api::TaskKind kind)
{
    using scheduling::TaskKind;
    switch (kind) {
    case api::TaskKind::chat: break;
    case api::TaskKind::completion: return TaskKind::completion;
    case api::TaskKind::infill: return TaskKind::infill;
    case api::TaskKind::embeddings: return TaskKind::embeddings;
    case api::TaskKind::rerank: return TaskKind::rerank;
    case api::TaskKind::tokenize: return TaskKind::tokenize;
    case api::TaskKind::transcription: return TaskKind::transcription;
    }
    return TaskKind::chat;
}

/// Tokens that a question may have there with its answer: what is loaded, else what would be.
std::uint32_t context_of(catalog::Model const& model)
{
    return model.loaded && model.loaded->context > 0 ? model.loaded->context : model.context_length;
}

/// Adds what one device says of a model. This device, which comes first, answers itself; else it may be any of the others.
void add_holder(api::ModelView& view, catalog::Model const& model, std::string const& device)
{
    view.context_length = view.is_local ? view.context_length : std::min(view.context_length, context_of(model));
    for (auto const& name : model.names) {
        if (view.id.empty()) {
            view.id = name;
        } else if (name != view.id && std::ranges::find(view.aliases, name) == view.aliases.end()) {
            view.aliases.push_back(name);
        }
    }
    view.devices.push_back(device);
    if (model.loaded) {
        view.loaded_on.push_back(device);
    }
}

std::vector<std::string> capability_names(std::uint32_t capabilities)
{
    constexpr auto known = std::array<std::pair<std::uint32_t, std::string_view>, 3>{
        {{catalog::can_chat, "chat"}, {catalog::can_embed, "embeddings"}, {catalog::can_rerank, "rerank"}}};
    auto names = std::vector<std::string>{};
    for (auto const& [capability, name] : known) {
        if ((capabilities & capability) != 0) {
            names.emplace_back(name);
        }
    }
    return names;
}

api::ModelView view_of(catalog::Model const& model)
{
    return {.id = {},
            .aliases = {},
            .digest = model.digest.text(),
            .size_bytes = model.size_bytes,
            .architecture = model.architecture,
            .quantization = model.quantization,
            .parameters = model.parameters,
            .context_length = context_of(model),
            .is_chat = (model.capabilities & catalog::can_chat) != 0,
            .capabilities = capability_names(model.capabilities),
            .created_seconds = model.created_seconds,
            .is_local = false,
            .is_external = model.is_external,
            .devices = {},
            .loaded_on = {}};
}

std::string joined(std::vector<std::string> const& words)
{
    auto text = std::string{};
    for (auto const& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

}  // namespace

std::vector<std::string> texts_of(std::vector<multiformats::Multiaddr> const& addresses)
{
    auto texts = std::vector<std::string>{};
    for (auto const& address : addresses) {
        texts.push_back(address.text());
    }
    return texts;
}

api::ModelView view_of(models::Model const& model, Device const& device)
{
    auto const created = std::chrono::floor<std::chrono::seconds>(model.added).time_since_epoch().count();
    return {.id = model.name,
            .aliases = {},
            .digest = model.digest.text(),
            .size_bytes = model.size_bytes,
            .architecture = model.summary.architecture,
            .quantization = model.summary.quantisation,
            .parameters = model.summary.parameters,
            .context_length = device.shape_of(model, device.memory_for_engines()).context,
            .is_chat = !model.summary.is_embedding,
            .capabilities = capability_names(capabilities_of(model.summary)),
            .created_seconds = static_cast<std::uint64_t>(created),
            .is_local = true,
            .devices = {device.name()},
            .loaded_on = {}};
}

Task<Result<std::unique_ptr<api::Answer>>> DeviceServices::start(api::InferenceTask task)
{
    if (auto const* held = device_.store().find(task.model)) {
        device_.inference().keep(held->digest, task.keep_alive);
    }
    auto running = device_.scheduler().start({.request_id = std::move(task.request_id),
                                              .model = std::move(task.model),
                                              .kind = kind_of(task.kind),
                                              .body = std::move(task.body)});
    if (!running) {
        co_return std::unexpected(running.error());
    }
    co_return std::make_unique<TaskAnswer>(device_, std::move(*running));
}

std::vector<api::ModelView> DeviceServices::list() const
{
    auto views = std::map<std::string, api::ModelView>{};
    for (auto const& entry : device_.catalog().entries()) {
        if (entry.state == catalog::State::away) {
            continue;
        }
        for (auto const& model : entry.snapshot->models) {
            auto& view = views.try_emplace(model.digest.text(), view_of(model)).first->second;
            add_holder(view, model, device_.name_of(entry.device));
            view.is_local = view.is_local || entry.is_self;
        }
    }
    auto list = std::vector<api::ModelView>{};
    for (auto& [digest, view] : views) {
        list.push_back(std::move(view));
    }
    // This device's own come first where a name means two models; the other is known by its digest.
    std::ranges::sort(list, {}, [](auto const& view) { return std::tuple(view.id, !view.is_local, view.digest); });
    auto names = std::set<std::string>{};
    for (auto& view : list) {
        view.id = names.insert(view.id).second ? view.id : view.digest;
    }
    return list;
}

Task<Result<api::ModelView>> DeviceServices::import_file(std::string path, std::string name,
                                                         std::function<void(api::ImportProgress)> progress)
{
    auto report = as_import(std::move(progress));
    auto const model = co_await device_.store().import_file(std::move(path), std::move(name), std::move(report));
    if (!model) {
        co_return std::unexpected(model.error());
    }
    co_return view_of(*model, device_);
}

Task<Result<api::ModelView>> DeviceServices::remove(std::string name)
{
    auto const* model = device_.store().find(name);
    if (model == nullptr) {
        co_return fail(ErrorKind::not_found, "there is no model {} on this device", name);
    }
    for (auto const& loaded : device_.inference().loaded()) {
        if (loaded.digest == model->digest && loaded.busy > 0) {
            co_return fail(ErrorKind::conflict, "{} is answering now; try again when it is done", model->name);
        }
    }
    device_.inference().unload(model->digest);
    co_return transform(device_.store().remove(name),
                        [&](models::Model const& removed) { return view_of(removed, device_); });
}

Result<std::vector<api::RouteView>> DeviceServices::routes(api::RouteQuestion question) const
{
    auto const work = scheduling::Work{double{1} * question.prompt_tokens, double{1} * question.output_tokens};
    auto const standings = device_.scheduler().explain(question.model, work);
    if (!standings) {
        return std::unexpected(standings.error());
    }
    auto views = std::vector<api::RouteView>{};
    for (auto const& standing : *standings) {
        auto const& times = standing.prediction;
        views.push_back({.device = device_.name_of(standing.device),
                         .state = standing.is_left_out ? "left out"
                                  : standing.is_chosen ? "chosen"
                                                       : "possible",
                         .reason = standing.reason,
                         .whole = standing.is_left_out ? std::nullopt : std::optional(times.whole()),
                         .queue = times.queue,
                         .load = times.load,
                         .prompt = times.prompt,
                         .answer = times.answer,
                         .travel = times.travel});
    }
    return views;
}

api::StatusView DeviceServices::status() const
{
    return {.version = PLEXUS_VERSION,
            .device = device_.name(),
            .device_id = device_.host().local_peer().text(),
            .mesh_id = device_.membership().mesh_id().text(),
            .home = device_.options().paths.data.string(),
            .addresses = texts_of(device_.host().listen_addresses()),
            .running_tasks = device_.scheduler().running(),
            .queued_tasks = device_.scheduler().queued(),
            .foretold_tasks = device_.scheduler().foretold().all,
            .closely_foretold_tasks = device_.scheduler().foretold().close,
            .uptime = device_.env().now() - device_.started(),
            .is_ready = true,
            .is_paused = device_.is_paused(),
            .sandbox = sandbox_view(device_.sandbox().last()),
            .computing = computing_view(device_.gpu())};
}

Task<std::vector<api::CheckView>> DeviceServices::checks()
{
    auto checks = std::vector<api::CheckView>{};
    auto& disk = device_.env().disk();
    auto const& options = device_.options();

    auto const engine = disk.status(options.engine_program);
    checks.push_back({.name = "engine",
                      .is_good = engine.has_value(),
                      .text = engine ? "the engine program is there" : engine.error().text,
                      .next = engine ? "" : "install plexus-engine beside plexusd, or set engine.program"});

    if (engine) {
        auto const began = device_.env().now();
        auto const tested = co_await device_.sandbox().test();
        checks.push_back(sandbox_check(tested, device_.env().now() - began));
        checks.push_back(gpu_check(device_.gpu()));
    }

    auto const models = list();
    auto const here = std::ranges::count_if(models, &api::ModelView::is_local);
    checks.push_back({.name = "models",
                      .is_good = !models.empty(),
                      .text = models.empty() ? "no device of the mesh holds a model"
                                             : fmt::format("{} here, {} in the mesh", here, models.size()),
                      .next = models.empty() ? "plexus model import FILE.gguf" : ""});

    checks.push_back(co_await external_check());

    auto const room = disk.free_bytes(options.paths.data);
    auto const has_room = room && *room >= little_space;
    checks.push_back({.name = "disk",
                      .is_good = has_room,
                      .text = room ? fmt::format("{} MB are free", *room >> 20) : room.error().text,
                      .next = has_room ? "" : "plexus model rm NAME, or make room on the disk"});

    auto const addresses = texts_of(device_.host().listen_addresses());
    checks.push_back({.name = "mesh address",
                      .is_good = !addresses.empty(),
                      .text = addresses.empty() ? "this device listens nowhere" : joined(addresses),
                      .next = addresses.empty() ? "set mesh.address in " + options.paths.config_file.string() : ""});

    checks.push_back(discovery_check(device_.discovery()));

    auto away = std::vector<std::string>{};
    auto const members = devices();
    for (auto const& device : members) {
        if (!device.is_self && device.state == "away") {
            away.push_back(device.name);
        }
    }
    checks.push_back({.name = "devices",
                      .is_good = away.empty(),
                      .text = away.empty() ? fmt::format("all {} are here", members.size()) : "away: " + joined(away),
                      .next = away.empty() ? "" : "start Plexus there (plexus up), and check that both are on one network"});
    co_return checks;
}

}  // namespace plexus::node
