#include "models/download.h"
#include "models/foreign.h"
#include "models/gguf_header.h"
#include "models/memory_estimate.h"
#include "models/suggestions.h"
#include "node/services.h"
#include "node/views.h"

namespace plexus::node {

namespace {

constexpr std::size_t max_pulls = 8;  // at a time
constexpr std::size_t max_license_bytes = 200;
constexpr std::size_t max_template_bytes = 1 << 20;

std::string_view stage_text(models::ImportProgress::Stage stage)
{
    return stage == models::ImportProgress::Stage::copying ? "copying" : "checking";
}

/// "3.1 GB".
std::string gigabytes(std::uint64_t bytes)
{
    return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

/// What was asked for, else the numbers of `usual`.
inference::EngineShape as_given(inference::EngineShape given, inference::EngineShape usual)
{
    return {.context = given.context > 0 ? given.context : usual.context,
            .slots = given.slots > 0 ? given.slots : usual.slots};
}

api::FitView fit_of(std::string device, catalog::Entry const& entry, std::uint64_t needed)
{
    auto view = api::FitView{.device = std::move(device)};
    auto const& hardware = entry.snapshot->hardware;
    if (entry.state == catalog::State::away) {
        view.text = "away";
    } else if (hardware.memory_bytes == 0) {
        view.text = "does not say how much memory it has";
    } else if (needed > hardware.memory_bytes) {
        view.text = fmt::format("needs {}, has {} in all", gigabytes(needed), gigabytes(hardware.memory_bytes));
    } else if (needed > hardware.free_memory_bytes) {
        view.text = fmt::format("needs {}, {} of {} are free now", gigabytes(needed),
                                gigabytes(hardware.free_memory_bytes), gigabytes(hardware.memory_bytes));
    } else {
        view.fits = true;
        view.text = fmt::format("needs {}, {} are free", gigabytes(needed), gigabytes(hardware.free_memory_bytes));
    }
    return view;
}

/// What the file says that the summary does not keep.
struct FileFacts {
    std::string title;
    std::string license;
    std::string chat_template;
    bool has_vision = false;
};

FileFacts facts_of(File const& file)
{
    auto const header = models::read_gguf_header(file);
    if (!header) {
        return {};
    }
    return {.title = header->text(file, "general.name", max_license_bytes),
            .license = header->text(file, "general.license", max_license_bytes),
            .chat_template = header->text(file, "tokenizer.chat_template", max_template_bytes)};
}

std::vector<std::string> abilities_of(models::GgufSummary const& summary, FileFacts const& facts)
{
    if (summary.is_embedding) {
        return {"embedding"};
    }
    auto abilities = std::vector<std::string>{"completion"};
    auto const says = [&](std::string_view word) { return facts.chat_template.contains(word); };
    if (summary.has_chat_template) {
        abilities.emplace_back("chat");
    }
    if (says("tools") || says("tool_call")) {
        abilities.emplace_back("tools");
    }
    if (says("enable_thinking") || says("<think>") || says("reasoning_content")) {
        abilities.emplace_back("thinking");
    }
    return abilities;
}

models::Download::Progress as_fetching(api::ProgressReport progress)
{
    return [progress = std::move(progress)](models::DownloadProgress now) {
        progress({.stage = "fetching", .done_bytes = now.done_bytes, .total_bytes = now.total_bytes});
    };
}

}  // namespace

std::function<void(models::ImportProgress)> as_import(api::ProgressReport progress)
{
    return [progress = std::move(progress)](models::ImportProgress const& now) {
        progress({.stage = std::string(stage_text(now.stage)),
                  .done_bytes = now.done_bytes,
                  .total_bytes = now.total_bytes});
    };
}

Task<Result<api::ModelView>> DeviceServices::pull(api::PullOrder order, api::ProgressReport progress)
{
    struct Running {
        explicit Running(std::size_t& pulls) : count(pulls) { ++count; }
        ~Running() { --count; }
        std::size_t& count;
    };
    if (pulls_ >= max_pulls) {
        co_return fail(ErrorKind::unavailable, "{} models are being fetched already", max_pulls);
    }
    auto const running = Running(pulls_);
    auto const& config = device_.options().config.models;
    auto source = and_then(Url::parse(config.hub),
                           [&](Url const& hub) { return models::find_source(order.source, hub); });
    if (!source) {
        co_return std::unexpected(source.error());
    }
    auto request = models::PullRequest{.source = std::move(*source), .name = std::move(order.name)};
    if (!order.sha256.empty()) {
        auto const digest = models::ModelDigest::from_text(order.sha256);
        if (!digest) {
            co_return std::unexpected(digest.error());
        }
        request.digest = *digest;
    }
    auto const model = co_await models::pull(device_.env(), device_.store(), {.authorities = config.ca_file},
                                             std::move(request), as_fetching(std::move(progress)));
    co_return transform(model, [&](models::Model const& got) { return view_of(got, device_); });
}

Task<Result<api::ModelView>> DeviceServices::verify(std::string name, api::ProgressReport progress)
{
    auto const model = co_await device_.store().verify(std::move(name), as_import(std::move(progress)));
    co_return transform(model, [&](models::Model const& good) { return view_of(good, device_); });
}

Task<Result<api::ModelDetails>> DeviceServices::details(std::string name)
{
    auto const* found = device_.store().find(name);
    if (found == nullptr) {
        co_return fail(ErrorKind::not_found, "there is no model {} on this device", name);
    }
    auto const model = *found;
    auto const path = device_.store().path_of(model.digest);
    auto opened = device_.env().disk().open(path);
    auto facts = FileFacts{};
    if (opened) {
        auto const file = std::shared_ptr<File const>(std::move(*opened));
        facts = co_await run_on_pool(device_.env(), [file] { return facts_of(*file); });
    }
    auto const draft = device_.draft_of(model.digest);
    co_return api::ModelDetails{.model = view_of(model, device_),
                                .title = facts.title,
                                .license = facts.license,
                                .origin = model.origin,
                                .trained_context = model.summary.context_length,
                                .path = path.string(),
                                .tokenizer = model.summary.tokenizer,
                                .layers = model.summary.block_count,
                                .embedding_length = model.summary.embedding_length,
                                .draft = draft ? name_of_model(*draft) : std::string{},
                                .abilities = abilities_of(model.summary, facts),
                                .added = model.added};
}

std::vector<api::FitView> DeviceServices::fits(models::GgufSummary const& summary, inference::EngineShape given) const
{
    auto views = std::vector<api::FitView>{};
    for (auto const& entry : device_.catalog().entries()) {
        auto const free = entry.snapshot->hardware.free_memory_bytes;
        auto const memory = entry.is_self ? device_.memory_for_engines() : free;
        auto const shape = as_given(given, device_.shape_for(summary, memory));
        auto const needed = models::estimate_memory(summary, shape.context, shape.slots).total();
        views.push_back(fit_of(device_.name_of(entry.device), entry, needed));
    }
    return views;
}

std::vector<api::SuggestionView> DeviceServices::suggestions() const
{
    auto views = std::vector<api::SuggestionView>{};
    for (auto const& each : models::suggestions()) {
        views.push_back({.name = std::string(each.name),
                         .title = std::string(each.title),
                         .kind = std::string(each.kind),
                         .license = std::string(each.license),
                         .source = std::string(each.source),
                         .size_bytes = each.size_bytes,
                         .context_length = each.context_length,
                         .is_local = device_.store().find(each.name) != nullptr,
                         .devices = fits(each.summary(), {})});
    }
    return views;
}

Result<api::PlanView> DeviceServices::plan(std::string name, std::uint32_t length, std::uint32_t slots) const
{
    auto const* model = device_.store().find(name);
    auto const* suggestion = models::find_suggestion(name);
    if (model == nullptr && suggestion == nullptr) {
        return fail(ErrorKind::not_found, "there is no model {} on this device or in the list", name);
    }
    auto const summary = model != nullptr ? model->summary : suggestion->summary();
    if (summary.context_length > 0 && length > summary.context_length) {
        return fail(ErrorKind::malformed, "{} has a context of {} tokens at most", name, summary.context_length);
    }
    auto const given = inference::EngineShape{.context = length, .slots = slots};
    auto const memory = device_.memory_for_engines();
    auto const usual = model != nullptr ? device_.shape_of(*model, memory) : device_.shape_for(summary, memory);
    auto const shape = as_given(given, usual);
    auto const needed = model != nullptr ? device_.estimate(*model, shape)
                                         : models::estimate_memory(summary, shape.context, shape.slots);
    return api::PlanView{.model = model != nullptr ? model->name : name,
                         .context = shape.context,
                         .slots = shape.slots,
                         .weight_bytes = needed.weights,
                         .cache_bytes = needed.cache,
                         .compute_bytes = needed.compute,
                         .overhead_bytes = needed.overhead,
                         .total_bytes = needed.total(),
                         .devices = fits(summary, given)};
}

Task<Result<std::vector<api::ForeignModelView>>> DeviceServices::foreign(std::string kind, std::string folder)
{
    if (kind != "ollama" && kind != "lm-studio") {
        co_return fail(ErrorKind::malformed, "models are taken from ollama or lm-studio, not from {}", kind);
    }
    auto const find = kind == "ollama" ? models::find_ollama_models : models::find_lm_studio_models;
    auto& disk = device_.env().disk();
    auto const found = co_await run_on_pool(device_.env(), [find, &disk, folder] { return find(disk, folder); });
    if (!found) {
        co_return std::unexpected(found.error());
    }
    auto views = std::vector<api::ForeignModelView>{};
    for (auto const& model : *found) {
        views.push_back({.name = model.name,
                         .path = model.path.string(),
                         .sha256 = model.digest ? model.digest->text() : std::string{},
                         .size_bytes = model.size_bytes,
                         .problem = model.problem});
    }
    co_return views;
}

}  // namespace plexus::node
