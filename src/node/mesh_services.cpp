#include "host/round_trip.h"
#include "node/services.h"
#include "node/views.h"

// What the API asks of the mesh: devices, invites, joining.

namespace plexus::node {

namespace {

constexpr auto look_limit = std::chrono::seconds(5);  // for a device that shows a code
constexpr auto look_pause = std::chrono::milliseconds(500);

std::vector<membership::Candidate> near_by(Device& device)
{
    auto candidates = std::vector<membership::Candidate>{};
    if (auto const* discovery = device.discovery()) {
        for (auto& neighbour : discovery->neighbours()) {
            candidates.push_back({neighbour.peer, std::move(neighbour.addresses)});
        }
    }
    return candidates;
}

/// Devices that have just come are not known yet, so one that shows a code is looked for again for a while.
Task<Result<multiformats::PeerId>> join_by_code(Device& device, std::string code, Deadline deadline)
{
    auto& env = device.env();
    auto const enough = env.deadline_in(look_limit);
    for (;;) {
        auto joined = co_await device.membership().join_by_code(code, near_by(device), deadline);
        if (joined || joined.error().kind != ErrorKind::not_found || enough.passed(env.now())) {
            co_return joined;
        }
        if (auto* discovery = device.discovery()) {
            discovery->ask_again();
        }
        co_await sleep_for(env, look_pause);
    }
}

api::InviteView view_of(membership::Invite const& invite)
{
    auto view = api::InviteView{.id = invite.id,
                                .link = invite.link,
                                .code = invite.code,
                                .role = std::string(to_string(invite.role)),
                                .expires = invite.expires};
    if (auto const& applicant = invite.applicant) {
        view.applicant = {applicant->device.text(), applicant->name, applicant->address.text()};
    }
    return view;
}

void describe(api::DeviceView& view, catalog::Entry const& entry)
{
    auto const& snapshot = *entry.snapshot;
    auto const is_busy = snapshot.running > 0;
    view.state = entry.state == catalog::State::away ? "away"
                 : snapshot.is_paused                ? "paused"
                 : is_busy                           ? "busy"
                                                     : "ready";
    view.version = snapshot.version;
    view.processor = snapshot.hardware.processor;
    view.cores = snapshot.hardware.cores;
    view.memory_bytes = snapshot.hardware.memory_bytes;
    view.free_memory_bytes = snapshot.hardware.free_memory_bytes;
    for (auto const& gpu : snapshot.hardware.gpus) {
        view.gpus.push_back({.name = gpu.name, .memory_bytes = gpu.memory_bytes});
    }
    view.queue = snapshot.queued;
    for (auto const& model : snapshot.models) {
        if (!model.names.empty()) {
            view.models.push_back(model.names.front());
        }
    }
}

}  // namespace

std::vector<api::DeviceView> DeviceServices::devices() const
{
    auto entries = std::map<multiformats::PeerId, catalog::Entry>{};
    for (auto& entry : device_.catalog().entries()) {
        entries.emplace(entry.device, std::move(entry));
    }
    auto views = std::vector<api::DeviceView>{};
    for (auto const& member : device_.membership().members()) {
        auto view = api::DeviceView{};
        view.id = member.device.text();
        view.name = member.name;
        view.role = to_string(member.role);
        view.state = "away";
        view.is_self = member.is_self;
        auto const addresses = member.is_self ? device_.host().listen_addresses()
                                              : device_.host().remembered_addresses(member.device);
        view.addresses = texts_of(addresses);
        view.round_trip = host::round_trip_to(device_.host(), member.device);
        if (auto const entry = entries.find(member.device); entry != entries.end()) {
            describe(view, entry->second);
        }
        views.push_back(std::move(view));
    }
    return views;
}

Result<api::DeviceView> DeviceServices::revoke(std::string const& device)
{
    auto named = devices();
    std::erase_if(named, [&](api::DeviceView const& each) { return each.name != device && each.id != device; });
    if (named.empty()) {
        return fail(ErrorKind::not_found, "there is no device {} in the mesh", device);
    }
    if (named.size() > 1) {
        return fail(ErrorKind::conflict, "{} devices are called {}; use the id", named.size(), device);
    }
    if (named.front().is_self) {
        return fail(ErrorKind::conflict, "a device cannot take itself out; do it on another one that is an owner");
    }
    auto const id = multiformats::PeerId::from_text(named.front().id);
    auto const revoked = id ? device_.membership().revoke(*id) : std::unexpected(id.error());
    if (!revoked) {
        return std::unexpected(revoked.error());
    }
    return named.front();
}

std::vector<api::InviteView> DeviceServices::invites() const
{
    auto views = std::vector<api::InviteView>{};
    for (auto const& invite : device_.membership().invites()) {
        views.push_back(view_of(invite));
    }
    return views;
}

Task<Result<api::InviteView>> DeviceServices::invite(std::string role, Duration lifetime)
{
    auto const meant = membership::role_from(role);
    if (!meant) {
        co_return fail(ErrorKind::malformed, "there is no role {}: a device is owner or member", role);
    }
    if (*meant != membership::Role::owner && *meant != membership::Role::member) {
        // Nothing keeps a guest from what a member may do yet, so nobody is made to believe it.
        co_return fail(ErrorKind::malformed, "the role {} is not enforced yet: a device is owner or member", role);
    }
    auto const invite = device_.membership().invite(*meant, lifetime);
    if (!invite) {
        co_return std::unexpected(invite.error());
    }
    co_return view_of(*invite);
}

Result<void> DeviceServices::withdraw(std::string const& invite_id)
{
    return device_.membership().withdraw(invite_id);
}

Result<void> DeviceServices::decide(std::string const& invite_id, std::string const& device_id, bool lets_in)
{
    auto const device = multiformats::PeerId::from_text(device_id);
    if (!device) {
        return std::unexpected(device.error());
    }
    return device_.membership().decide(invite_id, *device, lets_in);
}

Task<Result<api::JoinView>> DeviceServices::join(std::string link, Deadline deadline)
{
    auto const joined = membership::digits_of(link) ? co_await join_by_code(device_, std::move(link), deadline)
                                                    : co_await device_.membership().join(std::move(link), deadline);
    if (!joined) {
        co_return std::unexpected(joined.error());
    }
    co_return api::JoinView{
        .mesh = device_.membership().mesh_id().text(), .device = device_.name_of(*joined), .devices = devices()};
}

}  // namespace plexus::node
