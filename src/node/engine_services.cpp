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

}  // namespace

api::EngineView DeviceServices::engine_view(inference::LoadedModel const& model) const
{
    auto const* held = device_.store().find(model.digest.text());
    auto view = api::EngineView{.model = held == nullptr ? model.digest.text() : held->name,
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
                                .process = device_.inference().process_of(model.digest)};
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

}  // namespace plexus::node
