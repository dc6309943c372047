#include "scheduling/resolve.h"

#include "base/nearest.h"

namespace plexus::scheduling {

namespace {

constexpr std::size_t longest_shown_name = 128;

using Holders = std::vector<catalog::Holder>;

std::unexpected<Error> unknown(catalog::Catalog const& catalog, std::string_view model)
{
    auto names = std::vector<std::string>{};
    for (auto const& entry : catalog.entries()) {
        for (auto const& known : entry.snapshot->models) {
            names.insert(names.end(), known.names.begin(), known.names.end());
        }
    }
    if (names.empty()) {
        return fail(ErrorKind::not_found, "no device of the mesh has a model yet");
    }
    auto const near = nearest(model, names);
    auto const shown = model.size() <= longest_shown_name ? fmt::format("the model \"{}\"", model) : "such a model";
    return near.empty() ? fail(ErrorKind::not_found, "no device of the mesh has {}", shown)
                        : fail(ErrorKind::not_found, "no device of the mesh has {}; did you mean \"{}\"?", shown, near);
}

/// Greater is better: held here, then by how many ready devices, then by how many devices.
auto standing(Holders const& holders)
{
    auto const is_ready = [](catalog::Holder const& holder) { return holder.entry.state == catalog::State::ready; };
    return std::tuple(holders.front().entry.is_self, std::ranges::count_if(holders, is_ready), holders.size());
}

}  // namespace

Result<Resolved> resolve(catalog::Catalog const& catalog, std::string_view model)
{
    auto by_digest = std::map<catalog::ModelDigest, Holders>{};
    for (auto& holder : catalog.who_holds(model)) {
        auto const digest = holder.model->digest;
        by_digest[digest].push_back(std::move(holder));
    }
    if (auto const digest = catalog::ModelDigest::from_text(model); digest && by_digest.empty()) {
        if (auto holders = catalog.who_holds(*digest); !holders.empty()) {
            by_digest[*digest] = std::move(holders);
        }
    }
    if (by_digest.empty()) {
        return unknown(catalog, model);
    }
    auto const best = std::ranges::max_element(by_digest, {}, [](auto const& item) { return standing(item.second); });
    return Resolved{best->first, best->second};
}

}  // namespace plexus::scheduling
