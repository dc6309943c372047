#include "scheduling/resolve.h"

#include "base/nearest.h"

namespace plexus::scheduling {

namespace {

constexpr std::size_t longest_shown_name = 128;

using Holders = std::vector<catalog::Holder>;
using inference::TaskKind;

bool can(catalog::Model const& model, TaskKind kind)
{
    switch (kind) {
    case TaskKind::embeddings: return (model.capabilities & catalog::can_embed) != 0;
    case TaskKind::rerank: return (model.capabilities & catalog::can_rerank) != 0;
    case TaskKind::tokenize: return true;
    default: return (model.capabilities & catalog::can_chat) != 0;
    }
}

/// How people may see a name that a client gave.
std::string shown(std::string_view model, std::string_view otherwise)
{
    return model.size() <= longest_shown_name ? fmt::format("the model \"{}\"", model) : std::string(otherwise);
}

std::unexpected<Error> incapable(catalog::Catalog const& catalog, std::string_view model, TaskKind kind)
{
    auto hint = std::string{};
    for (auto const& entry : catalog.entries()) {
        for (auto const& known : entry.snapshot->models) {
            if (hint.empty() && can(known, kind) && !known.names.empty()) {
                hint = fmt::format("; \"{}\" is", known.names.front());
            }
        }
    }
    return fail(ErrorKind::malformed, "{} is not made for {}{}", shown(model, "the model"), to_string(kind), hint);
}

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
    auto const missing = shown(model, "such a model");
    return near.empty()
               ? fail(ErrorKind::not_found, "no device of the mesh has {}", missing)
               : fail(ErrorKind::not_found, "no device of the mesh has {}; did you mean \"{}\"?", missing, near);
}

/// Greater is better: held here, then by how many ready devices, then by how many devices, then what the owner's own
/// engine has in memory anyway.
auto standing(Holders const& holders)
{
    auto const is_ready = [](catalog::Holder const& holder) { return holder.entry.state == catalog::State::ready; };
    return std::tuple(holders.front().entry.is_self, std::ranges::count_if(holders, is_ready), holders.size(),
                      holders.front().model->is_external);
}

}  // namespace

Result<Resolved> resolve(catalog::Catalog const& catalog, std::string_view model, TaskKind kind)
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
    auto found = Resolved{.model = best->first, .holders = best->second};
    for (auto const& [digest, holders] : by_digest) {
        auto const is_either = found.holders.front().model->is_external || holders.front().model->is_external;
        if (digest != found.model && is_either) {
            std::ranges::copy_if(holders, std::back_inserter(found.substitutes),
                                 [&](catalog::Holder const& holder) { return can(*holder.model, kind); });
        }
    }
    std::erase_if(found.holders, [&](catalog::Holder const& holder) { return !can(*holder.model, kind); });
    if (found.holders.empty()) {
        return incapable(catalog, model, kind);
    }
    return found;
}

}  // namespace plexus::scheduling
