#include "simulation/checks.h"

namespace plexus::simulation {

using namespace std::chrono_literals;

namespace {

/// Two keep-alive intervals and a little: then a device that fell silent is away.
constexpr auto away_bound = 35s;

bool is_connected(SimulatedDevice& device, PeerId const& to)
{
    return std::ranges::any_of(device.device().host().connections(), [&](host::ConnectionInfo const& connection) {
        return connection.peer == to && connection.admission == host::Admission::member;
    });
}

std::map<PeerId, std::string> members_of(SimulatedDevice& device)
{
    auto found = std::map<PeerId, std::string>{};
    for (auto const& member : device.device().membership().members()) {
        found[member.device] = fmt::format("{} {}", member.name, to_string(member.role));
    }
    return found;
}

catalog::Entry const* entry_of(std::vector<catalog::Entry> const& entries, PeerId const& device)
{
    auto const found = std::ranges::find(entries, device, &catalog::Entry::device);
    return found == entries.end() ? nullptr : &*found;
}

}  // namespace

void Checks::look()
{
    for (auto const& device : mesh_.devices) {
        device->check_for_hanging_tasks();
        device->log_on_disk();
        if (device->is_up()) {
            check_bounds(*device);
            check_members(*device);
            check_catalog(*device);
        }
    }
}

void Checks::check_bounds(SimulatedDevice& device)
{
    auto const limits = host::Limits{};
    auto const of_tasks = scheduling::Limits{};
    auto const connections = device.device().host().connections();
    auto per_peer = std::map<PeerId, std::size_t>{};
    auto streams = std::size_t{0};
    auto most = std::size_t{0};
    for (auto const& connection : connections) {
        most = std::max(most, ++per_peer[connection.peer]);
        streams += connection.streams;
    }
    auto const& scheduler = device.device().scheduler();
    auto const holds = connections.size() <= limits.connections && most <= limits.connections_per_peer &&
                       streams <= limits.streams && scheduler.running() <= of_tasks.running &&
                       scheduler.queued() <= of_tasks.queued;
    mesh_.findings.check(holds, "resources stay within their limits", [&] {
        return fmt::format("{}: {} connections, {} of one peer, {} streams, {} tasks running, {} queued", device.name(),
                           connections.size(), most, streams, scheduler.running(), scheduler.queued());
    });
}

void Checks::check_members(SimulatedDevice& device)
{
    auto const members = members_of(device);
    mesh_.findings.check(!members.contains(mesh_.stranger->id()), "no stranger is ever admitted", [&] { return device.name(); });
    mesh_.findings.check(!is_connected(device, mesh_.stranger->id()), "no stranger is ever admitted",
                         [&] { return device.name() + " holds a connection"; });
}

void Checks::check_catalog(SimulatedDevice& device)
{
    auto const entries = device.device().catalog().entries();
    for (auto const& other : mesh_.devices) {
        auto const* entry = entry_of(entries, other->id());
        if (entry == nullptr || entry->is_self) {
            continue;
        }
        auto const& epochs = other->epochs();
        auto const life = std::ranges::find(epochs, entry->snapshot->boot_epoch) - epochs.begin();
        auto& latest = heard_[{device.name(), device.epochs().size(), other->name()}];
        mesh_.findings.check(static_cast<std::size_t>(life) >= latest, "the catalog holds no ghosts", [&] {
            return fmt::format("{} went back from life {} to {} of {}", device.name(), latest, life, other->name());
        });
        latest = std::max(latest, static_cast<std::size_t>(life));
        auto const is_gone = !other->is_up() && !other->is_ending() && mesh_.world.now() > other->down_since() + away_bound;
        mesh_.findings.check(!is_gone || entry->state == catalog::State::away, "a lost device is away in time",
                             [&] { return fmt::format("{} at {}", other->name(), device.name()); });
    }
}

std::string Checks::disagreement_of(SimulatedDevice& device, SimulatedDevice& other)
{
    if (members_of(device) != members_of(other)) {
        return "different members";
    }
    auto const* left = device.log_on_disk();
    auto const* right = other.log_on_disk();
    if (left == nullptr || right == nullptr || left->heads() != right->heads()) {
        return "different logs on disk";
    }
    if (!is_connected(device, other.id())) {
        return "not connected";
    }
    auto const entries = device.device().catalog().entries();
    auto const* entry = entry_of(entries, other.id());
    if (entry == nullptr || entry->state != catalog::State::ready) {
        return "away in the catalog";
    }
    if (entry->snapshot->boot_epoch != other.epochs().back()) {
        return "an old life in the catalog";
    }
    return entry->snapshot->models.size() == other.models().size() ? "" : "wrong models in the catalog";
}

std::string Checks::disagreement()
{
    for (auto const& device : mesh_.devices) {
        if (!device->is_up()) {
            return device->name() + " is not up";
        }
        if (mesh_.revoked.contains(device->id())) {
            continue;
        }
        for (auto const& gone : mesh_.revoked) {
            if (device->device().membership().find(gone) || is_connected(*device, gone)) {
                return device->name() + " knows a removed device";
            }
        }
        for (auto const& other : mesh_.devices) {
            if (other == device || mesh_.revoked.contains(other->id()) || !other->is_up()) {
                continue;
            }
            if (auto const why = disagreement_of(*device, *other); !why.empty()) {
                return fmt::format("{} and {}: {}", device->name(), other->name(), why);
            }
        }
    }
    return {};
}

}  // namespace plexus::simulation
