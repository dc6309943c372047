#include "node/services.h"

namespace plexus::node {

namespace {

/// Errors: `not_found`.
Result<models::Model const*> held_model(Device& device, std::string const& name)
{
    auto const* model = device.store().find(name);
    if (model == nullptr) {
        return fail(ErrorKind::not_found, "there is no model {} on this device", name);
    }
    return model;
}

/// Vocabularies of models that belong together may differ in so many tokens at their end. Spec: llama.cpp
/// common/speculative.cpp, which compares the tokens themselves too.
constexpr std::uint64_t most_tokens_apart = 128;

/// What can be said before both are loaded. Errors: `malformed`.
Result<void> check_draft(models::Model const& model, models::Model const& draft)
{
    auto const& reads = model.summary;
    auto const& guesses = draft.summary;
    if (model.digest == draft.digest) {
        return fail(ErrorKind::malformed, "a model cannot guess for itself; choose a smaller one of its family");
    }
    if (reads.is_embedding || guesses.is_embedding) {
        return fail(ErrorKind::malformed, "{} gives no text, so there is nothing to guess",
                    reads.is_embedding ? model.name : draft.name);
    }
    auto const [fewer, more] = std::minmax(reads.vocabulary_size, guesses.vocabulary_size);
    if (reads.tokenizer != guesses.tokenizer || more - fewer > most_tokens_apart) {
        return fail(ErrorKind::malformed,
                    "a draft model needs the vocabulary of its model: {} has {} tokens of {}, {} has {} of {}",
                    model.name, reads.vocabulary_size, reads.tokenizer, draft.name, guesses.vocabulary_size,
                    guesses.tokenizer);
    }
    return {};
}

}  // namespace

std::string DeviceServices::name_of_model(inference::ModelDigest const& model) const
{
    auto const* held = device_.store().find(model.text());
    return held == nullptr ? model.text() : held->name;
}

api::EngineView DeviceServices::engine_view(inference::LoadedModel const& model) const
{
    auto view = api::EngineView{.model = name_of_model(model.digest),
                                .digest = model.digest.text(),
                                .context = model.context,
                                .slots = model.slots,
                                .busy = model.busy,
                                .is_pinned = model.is_pinned,
                                .is_reduced = model.is_reduced,
                                .predicted_bytes = model.predicted_bytes,
                                .used_bytes = model.used.resident,
                                .weights_bytes = model.used.weights,
                                .cache_bytes = model.used.cache,
                                .compute_bytes = model.used.compute,
                                .backend = model.backend,
                                .gpu = model.gpu.device,
                                .gpu_layers = model.gpu.layers,
                                .gpu_bytes = model.used.on_gpu,
                                .process = device_.inference().process_of(model.digest),
                                .draft = model.draft ? name_of_model(*model.draft) : std::string{},
                                .drafted_tokens = model.drafted_tokens,
                                .accepted_tokens = model.accepted_tokens};
    if (model.leaves) {
        view.leaves_in = std::max<Duration>(*model.leaves - device_.env().now(), Duration::zero());
    }
    return view;
}

api::EnginesView DeviceServices::engines() const
{
    auto view = api::EnginesView{.memory_bytes = device_.memory_for_engines()};
    for (auto const& model : device_.inference().loaded()) {
        view.engines.push_back(engine_view(model));
        view.promised_bytes += model.predicted_bytes;
    }
    std::ranges::sort(view.engines, {}, &api::EngineView::model);
    return view;
}

Task<Result<api::EngineView>> DeviceServices::load(std::string name)
{
    auto const model = held_model(device_, name);
    if (!model) {
        co_return std::unexpected(model.error());
    }
    auto const loaded = co_await device_.inference().load((*model)->digest);
    if (!loaded) {
        co_return std::unexpected(loaded.error());
    }
    co_return engine_view(*loaded);
}

Result<api::EngineView> DeviceServices::unload(std::string name)
{
    auto const model = held_model(device_, name);
    if (!model) {
        return std::unexpected(model.error());
    }
    for (auto const& loaded : device_.inference().loaded()) {
        if (loaded.digest != (*model)->digest) {
            continue;
        }
        if (loaded.busy > 0) {
            return fail(ErrorKind::conflict, "{} is answering now; try again when it is done", name);
        }
        auto view = engine_view(loaded);
        device_.inference().unload(loaded.digest);
        return view;
    }
    return fail(ErrorKind::not_found, "{} is not in memory", name);
}

Result<void> DeviceServices::pin(std::string name, bool pinned)
{
    auto const model = held_model(device_, name);
    return model ? device_.pin((*model)->digest, pinned) : std::unexpected(model.error());
}

Task<Result<void>> DeviceServices::set_draft(std::string name, std::string draft)
{
    auto const model = held_model(device_, name);
    auto const guessing = !model || draft.empty() ? model : held_model(device_, draft);
    if (!guessing) {
        co_return std::unexpected(guessing.error());
    }
    auto wanted = std::optional<inference::ModelDigest>{};
    if (!draft.empty()) {
        if (auto checked = check_draft(**model, **guessing); !checked) {
            co_return std::unexpected(checked.error());
        }
        wanted = (*guessing)->digest;
    }
    auto const digest = (*model)->digest;
    auto const before = device_.draft_of(digest);
    auto const left = unload(name);
    if (!left && left.error().kind != ErrorKind::not_found) {
        co_return std::unexpected(left.error());
    }
    auto set = device_.set_draft(digest, wanted);
    if (!set || (!wanted && !left)) {
        co_return set;
    }
    auto const loaded = co_await device_.inference().load(digest);
    if (!loaded) {
        std::ignore = device_.set_draft(digest, before);
        device_.inference().unload(digest);  // its failure says nothing of the model without it
        co_return std::unexpected(loaded.error());
    }
    co_return Result<void>{};
}

}  // namespace plexus::node
