#include "simulation/faults.h"

namespace plexus::simulation {

using namespace std::chrono_literals;
using inference::TaskKind;

namespace {

constexpr auto stream_name = "faults";
constexpr auto much_room = std::uint64_t{1} << 40;
constexpr auto invite_lifetime = 5min;
constexpr auto long_absence = 40s;  // goes on in peace, so that the others must notice

sim::Link random_link(Mesh& mesh)
{
    auto link = sim::Link{};
    link.delay = mesh.between(stream_name, 100us, 200ms);
    link.jitter = mesh.between(stream_name, 0us, 50ms);
    auto const rates = std::array<std::uint64_t, 4>{20'000, 250'000, 12'500'000, 125'000'000};
    link.bytes_per_second = rates[mesh.below(stream_name, rates.size())];
    link.loss = mesh.below(stream_name, 2) == 0 ? 0.0 : static_cast<double>(mesh.below(stream_name, 200)) / 1000;
    return link;
}

sim::Link cut_link(Mesh& mesh)
{
    auto link = sim::Link{.cut = true};
    auto const limits = std::array<Duration, 3>{1s, 30s, 1h};
    link.break_after = limits[mesh.below(stream_name, limits.size())];
    return link;
}

}  // namespace

SimulatedDevice& Faults::any_device()
{
    return *mesh_.devices[mesh_.below(stream_name, mesh_.devices.size())];
}

void Faults::next()
{
    ++mesh_.faults;
    switch (mesh_.below(stream_name, 12)) {
    case 0:
    case 1: change_link(); break;
    case 2: isolate(); break;
    case 3:
    case 4:
    case 5: power_off(); break;
    case 6:
    case 7: trouble_engine(); break;
    case 8: trouble_disk(); break;
    case 9: change_members(); break;
    case 10: any_device().env().set_clock_offset(mesh_.between(stream_name, -2h, 2h)); break;
    default:
        mesh_.world.set_split_share(static_cast<double>(mesh_.below(stream_name, 10)) / 10);
        break;
    }
}

void Faults::change_link()
{
    auto const& left = any_device().name();
    auto const& right = any_device().name();
    if (left == right) {
        mesh_.world.set_default_link(random_link(mesh_));
    } else if (mesh_.below(stream_name, 3) == 0) {
        mesh_.world.set_link(left, right, cut_link(mesh_));
        background_.spawn("heal a link", part_of_the_mesh_again({{left, right}}, mesh_.between(stream_name, 100ms, 15s)));
    } else {
        mesh_.world.set_link(left, right, random_link(mesh_));
    }
}

/// Cuts a group of devices off the others.
void Faults::isolate()
{
    auto cut = std::vector<std::pair<std::string, std::string>>{};
    auto const link = cut_link(mesh_);
    auto const size = 1 + mesh_.below(stream_name, mesh_.devices.size() / 2);
    auto const first = mesh_.below(stream_name, mesh_.devices.size());
    auto const inside = [&](std::size_t index) { return (index + mesh_.devices.size() - first) % mesh_.devices.size() < size; };
    for (std::size_t left = 0; left < mesh_.devices.size(); ++left) {
        for (std::size_t right = left + 1; right < mesh_.devices.size(); ++right) {
            if (inside(left) != inside(right)) {
                cut.emplace_back(mesh_.devices[left]->name(), mesh_.devices[right]->name());
                mesh_.world.set_link(cut.back().first, cut.back().second, link);
            }
        }
    }
    background_.spawn("heal a partition", part_of_the_mesh_again(std::move(cut), mesh_.between(stream_name, 500ms, 20s)));
}

Task<> Faults::part_of_the_mesh_again(std::vector<std::pair<std::string, std::string>> links, Duration after)
{
    co_await sleep_for(mesh_.devices.front()->env(), after);
    for (auto const& [left, right] : links) {
        mesh_.world.set_link(left, right, {});
    }
}

void Faults::power_off()
{
    auto& device = any_device();
    if (!device.is_up()) {
        return;
    }
    auto const how = static_cast<int>(mesh_.below(stream_name, 3));
    auto const away = mesh_.below(stream_name, 8) == 0 ? mesh_.between(stream_name, long_absence, 60s)
                                                       : mesh_.between(stream_name, 50ms, 5s);
    background_.spawn("power off " + device.name(), off_and_on(device, how, away));
}

/// 0: stops in order; 1: crashes, the others hear of it; 2: falls silent.
Task<> Faults::off_and_on(SimulatedDevice& device, int how, Duration away)
{
    if (how == 0) {
        co_await device.stop();
    } else {
        co_await device.crash(how == 2);
    }
    auto const begin = mesh_.world.now();
    while ((!mesh_.at_peace || away >= long_absence) && mesh_.world.now() < begin + away) {
        co_await sleep_for(device.env(), std::min<Duration>(500ms, begin + away - mesh_.world.now()));
    }
    while (!device.open()) {
        co_await sleep_for(device.env(), 200ms);
    }
}

void Faults::trouble_engine()
{
    auto& device = any_device();
    auto& mood = device.mood();
    switch (mesh_.below(stream_name, 5)) {
    case 0: mood.dies = 0.05; break;
    case 1: mood.hangs = 0.05; break;
    case 2: mood.babbles = 0.05; break;
    case 3: mood.refuses = 0.5; break;
    default: mood.load = mesh_.between(stream_name, 10ms, 5s); break;
    }
    background_.spawn("engine recovers", engine_recovers(device, mesh_.between(stream_name, 1s, 10s)));
}

Task<> Faults::engine_recovers(SimulatedDevice& device, Duration after)
{
    co_await sleep_for(device.env(), after);
    auto const pause = device.mood().pause;
    device.mood() = EngineMood{.pause = pause};
}

void Faults::trouble_disk()
{
    auto& device = any_device();
    if (mesh_.below(stream_name, 2) == 0) {
        device.env().fail_disk_write(1 + mesh_.below(stream_name, 4));
    } else {
        device.env().set_disk_room(mesh_.below(stream_name, 2000));
    }
    background_.spawn("disk recovers", disk_recovers(device, mesh_.between(stream_name, 1s, 10s)));
}

Task<> Faults::disk_recovers(SimulatedDevice& device, Duration after)
{
    co_await sleep_for(device.env(), after);
    device.env().fail_disk_write(0);
    device.env().set_disk_room(much_room);
}

/// An owner, of whom there are one or two, invites a device that is not in the mesh yet, or removes one for good.
void Faults::change_members()
{
    auto& owner = *mesh_.devices[mesh_.below(stream_name, 2)];
    auto& device = *mesh_.devices.back();
    if (!mesh_.is_member(owner)) {
        return;
    }
    if (mesh_.below(stream_name, 2) == 0) {
        if (auto const unused = owner.device().membership().invite(membership::Role::owner, invite_lifetime)) {
            mesh_.stranger->see_link(unused->link);
        }
    }
    for (auto const& other : mesh_.devices) {
        if (other->is_up() && !mesh_.is_member(*other) && !mesh_.revoked.contains(other->id())) {
            if (auto const invite = owner.device().membership().invite(membership::Role::member, invite_lifetime)) {
                mesh_.stranger->see_link(invite->link);
                other->in_background("join", join(*other, invite->link));
            }
            return;
        }
    }
    if (mesh_.revoked.empty() && device.is_up() && mesh_.below(stream_name, 3) == 0) {
        if (owner.device().membership().revoke(device.id())) {
            mesh_.revoked.insert(device.id());
        }
    }
}

Task<> Faults::join(SimulatedDevice& device, std::string link)
{
    std::ignore = co_await device.join(std::move(link));
}

void Faults::attack()
{
    auto const& target = any_device();
    auto const victim = Stranger::Victim{target.id(), target.address(), target.is_up()};
    ++mesh_.attacks;
    if (mesh_.traitor && mesh_.below(stream_name, 3) > 0) {
        background_.spawn("a traitor's attack", mesh_.traitor->attack(victim));
    } else {
        background_.spawn("a stranger's attack", mesh_.stranger->attack(victim));
    }
}

void Faults::ask()
{
    auto& device = any_device();
    if (!mesh_.is_member(device)) {
        return;
    }
    auto const& model = mesh_.models[mesh_.below("tasks", mesh_.models.size())];
    auto const padding = mesh_.below("tasks", 20) == 0 ? mesh_.below("tasks", 200'000) : mesh_.below("tasks", 300);
    auto const limit = mesh_.below("tasks", 5) == 0 ? Duration::zero() : mesh_.between("tasks", 500ms, 20s);
    constexpr auto kinds = std::array{TaskKind::chat, TaskKind::chat, TaskKind::completion, TaskKind::tokenize};
    auto const kind = kinds.at(mesh_.below("tasks", kinds.size()));
    device.ask(model, kind, fmt::format("question {} {}", device.asked(), std::string(padding, 'x')), limit);
}

void Faults::heal()
{
    mesh_.at_peace = true;
    mesh_.world.set_default_link({});
    mesh_.world.set_split_share(0.1);
    for (auto const& left : mesh_.devices) {
        for (auto const& right : mesh_.devices) {
            if (left->name() < right->name()) {
                mesh_.world.set_link(left->name(), right->name(), {});
            }
        }
        left->env().set_clock_offset({});
        left->env().fail_disk_write(0);
        left->env().set_disk_room(much_room);
        left->mood() = EngineMood{.pause = left->mood().pause};
    }
}

}  // namespace plexus::simulation
