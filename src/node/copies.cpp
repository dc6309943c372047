#include "node/services.h"

namespace plexus::node {

namespace {

/// The member with that name or id.
Result<multiformats::PeerId> member_named(membership::Membership const& membership, std::string const& name)
{
    for (auto const& member : membership.members()) {
        if (member.name == name || member.device.text() == name) {
            return member.device;
        }
    }
    return fail(ErrorKind::not_found, "there is no device {} in the mesh", name);
}

/// The model that one device means by a name.
Result<catalog::ModelDigest> model_of(catalog::Catalog const& catalog, multiformats::PeerId const& device,
                                      std::string_view model)
{
    for (auto const& entry : catalog.entries()) {
        if (entry.device != device) {
            continue;
        }
        for (auto const& held : entry.snapshot->models) {
            auto const is_named = std::ranges::find(held.names, model) != held.names.end();
            if (!held.is_external && (is_named || held.digest.text() == model)) {
                return held.digest;
            }
        }
    }
    return fail(ErrorKind::not_found, "that device has no file of a model {}", model);
}

/// The model that a name means in the list of all.
Result<catalog::ModelDigest> model_of(std::vector<api::ModelView> const& views, std::string_view model)
{
    auto const is_meant = [&](api::ModelView const& view) {
        auto const is_named = std::ranges::find(view.aliases, model) != view.aliases.end();
        return !view.is_external && (is_named || view.id == model || view.digest == model);
    };
    auto const view = std::ranges::find_if(views, is_meant);
    if (view == views.end()) {
        return fail(ErrorKind::not_found, "no device of the mesh that is here holds a file of a model {}", model);
    }
    return catalog::ModelDigest::from_text(view->digest);
}

std::string_view stage_text(blobs::CopyProgress::Stage stage)
{
    return stage == blobs::CopyProgress::Stage::checking ? "checking" : "copying";
}

}  // namespace

Result<blobs::Wanted> DeviceServices::wanted(api::CopyOrder const& order) const
{
    auto wanted = blobs::Wanted{.model = {}, .name = order.name};
    if (order.from.empty()) {
        return transform(model_of(list(), order.model), [&](catalog::ModelDigest const& digest) {
            wanted.model = digest;
            return wanted;
        });
    }
    auto const from = member_named(device_.membership(), order.from);
    if (!from) {
        return std::unexpected(from.error());
    }
    wanted.from = *from;
    return transform(model_of(device_.catalog(), *from, order.model), [&](catalog::ModelDigest const& digest) {
        wanted.model = digest;
        return wanted;
    });
}

Task<Result<api::ModelView>> DeviceServices::copy(api::CopyOrder order, api::ProgressReport progress)
{
    auto meant = wanted(order);
    if (!meant) {
        co_return std::unexpected(meant.error());
    }
    auto report = [this, progress = std::move(progress)](blobs::CopyProgress const& now) {
        auto told = api::ImportProgress{
            .stage = std::string(stage_text(now.stage)), .done_bytes = now.done_bytes, .total_bytes = now.total_bytes};
        for (auto const& source : now.sources) {
            told.sources.push_back(device_.name_of(source.device));
        }
        progress(std::move(told));
    };
    auto const model = co_await device_.blobs().copy(std::move(*meant), std::move(report));
    if (!model) {
        co_return std::unexpected(model.error());
    }
    auto const views = list();
    auto const view = std::ranges::find(views, model->digest.text(), &api::ModelView::digest);
    if (view == views.end()) {
        co_return fail(ErrorKind::not_found, "the model was removed meanwhile");
    }
    co_return *view;
}

}  // namespace plexus::node
