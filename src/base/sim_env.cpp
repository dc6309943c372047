#include "base/sim_env.h"

#include "base/sim_disk.h"
#include "base/sim_http.h"
#include "base/sim_network.h"
#include "base/sim_processes.h"
#include "base/sim_world.h"

namespace plexus::sim {

namespace {

constexpr auto simulation_start = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1);

}  // namespace

std::uint64_t mix(std::uint64_t left, std::uint64_t right)
{
    auto value = (left ^ (right + 0x9e3779b97f4a7c15ULL + (left << 6) + (left >> 2))) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31);
}

std::uint64_t hash_text(std::string_view text)
{
    auto hash = std::uint64_t{0xcbf29ce484222325ULL};
    for (auto letter : text) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
    }
    return hash;
}

void SeededRandom::fill(MutableByteView target)
{
    for (std::size_t index = 0; index < target.size(); index += 8) {
        state_ += 0x9e3779b97f4a7c15ULL;
        auto value = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9ULL;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
        value ^= value >> 31;
        for (std::size_t part = 0; part < std::min<std::size_t>(8, target.size() - index); ++part) {
            target[index + part] = static_cast<std::byte>(value >> (8 * part));
        }
    }
}

Random& RandomStreams::get(std::string_view component)
{
    auto found = streams_.find(component);
    if (found == streams_.end()) {
        auto made = std::make_unique<SeededRandom>(mix(seed_, hash_text(component)));
        found = streams_.emplace(std::string(component), std::move(made)).first;
    }
    return *found->second;
}

Env::TimerId World::State::schedule(Time at, std::string_view what, std::move_only_function<void()> action)
{
    auto const id = ++last_id;
    auto const key = EventKey{std::max(at, now), order.next(), id};
    queue.emplace(key, Event{hash_text(what), std::move(action)});
    keys.emplace(id, key);
    return id;
}

void World::State::cancel(Env::TimerId id)
{
    auto const found = keys.find(id);
    if (found != keys.end()) {
        queue.erase(found->second);
        keys.erase(found);
    }
}

void World::State::settle()
{
    context.restart();
    auto const handlers = context.poll();
    hash = mix(hash, handlers);
}

bool World::State::step(Time end)
{
    settle();
    if (queue.empty() || std::get<0>(queue.begin()->first) > end) {
        return false;
    }
    auto node = queue.extract(queue.begin());
    now = std::get<0>(node.key());
    keys.erase(std::get<2>(node.key()));
    hash = mix(mix(hash, static_cast<std::uint64_t>(now.time_since_epoch().count())), node.mapped().what);
    ++events;
    node.mapped().action();
    return true;
}

World::World(std::uint64_t seed) : state_(std::make_unique<State>(seed)) {}

World::~World()
{
    state_->settle();
}

SimEnv& World::add_device(std::string name)
{
    auto const index = static_cast<unsigned>(state_->devices.size()) + 1;
    auto const address = asio::ip::address_v4(0x0a000000U + index);
    auto device = std::make_unique<SimEnv>(*this, name, address);
    auto& added = *device;
    state_->devices.push_back(std::move(device));
    return added;
}

void World::set_link(std::string const& left, std::string const& right, Link link)
{
    state_->links[std::minmax(left, right)] = link;
    state_->links_changed();
}

void World::set_default_link(Link link)
{
    state_->default_link = link;
    state_->links_changed();
}

Link World::link(std::string const& left, std::string const& right) const
{
    return state_->link(left, right);
}

Link World::State::link(std::string const& left, std::string const& right) const
{
    if (left == right) {
        return Link{.delay = std::chrono::microseconds(10), .jitter = Duration::zero()};
    }
    auto const found = links.find(std::minmax(left, right));
    return found == links.end() ? default_link : found->second;
}

void World::State::links_changed()
{
    auto const watchers = link_watchers;
    for (auto const& [id, watcher] : watchers) {
        watcher();
    }
}

void World::set_split_share(double share) { state_->split_share = share; }
Time World::now() const { return state_->now; }
Executor World::executor() { return state_->context.get_executor(); }
Random& World::random(std::string_view component) { return state_->random.get(component); }
std::uint64_t World::trace_hash() const { return state_->hash; }
std::uint64_t World::events() const { return state_->events; }

void World::trace(std::string_view what, std::uint64_t value)
{
    state_->hash = mix(mix(state_->hash, hash_text(what)), value);
}

void World::run_until(Time end)
{
    while (state_->step(end)) {
    }
    state_->now = std::max(state_->now, end);
    state_->settle();
}

void World::run_for(Duration duration)
{
    run_until(state_->now + duration);
}

bool World::run(Task<> task, Duration limit)
{
    auto done = std::make_shared<bool>(false);
    auto failure = std::make_shared<std::exception_ptr>();
    asio::co_spawn(executor(), std::move(task), [done, failure](std::exception_ptr exception) {
        *done = true;
        *failure = exception;
    });
    auto const end = state_->now + limit;
    state_->settle();
    while (!*done && state_->step(end)) {
        state_->settle();
    }
    if (*failure) {
        std::rethrow_exception(*failure);
    }
    return *done;
}

struct SimEnv::State {
    State(World& owner, Env& env, std::string const& device, asio::ip::address at)
        : world(*owner.state_), name(device), address(at), random(mix(world.seed, hash_text(device))),
          network(world, device, at), disk(world, device), processes(world, env, device), http(env)
    {
    }

    World::State& world;
    std::string name;
    asio::ip::address address;
    RandomStreams random;
    SimNetwork network;
    SimDisk disk;
    SimProcesses processes;
    SimHttp http;
    Duration clock_offset{};
    bool crashed = false;
};

SimEnv::SimEnv(World& world, std::string name, asio::ip::address address)
    : state_(std::make_unique<State>(world, *this, name, address))
{
}

SimEnv::~SimEnv() = default;

std::string const& SimEnv::name() const { return state_->name; }
asio::ip::address SimEnv::address() const { return state_->address; }
bool SimEnv::crashed() const { return state_->crashed; }

void SimEnv::crash(bool silent)
{
    state_->crashed = true;
    state_->network.crash(silent);
    state_->disk.crash();
}

void SimEnv::restart()
{
    state_->crashed = false;
    state_->network.restart();
    state_->disk.restart();
}

void SimEnv::set_clock_offset(Duration offset) { state_->clock_offset = offset; }
void SimEnv::set_disk_room(std::uint64_t bytes) { state_->disk.set_room(bytes); }
void SimEnv::refuse_links(bool refused) { state_->disk.refuse_links(refused); }
void SimEnv::fail_disk_write(std::size_t count) { state_->disk.fail_write(count); }

void SimEnv::set_program(std::string const& path, Program program)
{
    state_->processes.set_program(path, std::move(program));
}

void SimEnv::put_file(std::filesystem::path const& path, Bytes bytes, unsigned mode)
{
    state_->disk.put(path, std::move(bytes), mode);
}

Executor SimEnv::executor() { return state_->world.context.get_executor(); }
Time SimEnv::now() const { return state_->world.now; }

WallTime SimEnv::wall_now() const
{
    auto const passed = state_->world.now.time_since_epoch() + state_->clock_offset;
    return WallTime(simulation_start) + std::chrono::duration_cast<std::chrono::milliseconds>(passed);
}

Env::TimerId SimEnv::start_timer(Time at, std::move_only_function<void()> action)
{
    return state_->world.schedule(at, "timer", std::move(action));
}

void SimEnv::cancel_timer(TimerId id) { state_->world.cancel(id); }
Random& SimEnv::random(std::string_view component) { return state_->random.get(component); }
Network& SimEnv::network() { return state_->network; }
Disk& SimEnv::disk() { return state_->disk; }
Processes& SimEnv::processes() { return state_->processes; }
HttpClient& SimEnv::http()
{
    return state_->http;
}
SimHttp& SimEnv::web()
{
    return state_->http;
}

void SimEnv::post_work(std::move_only_function<void()> work, std::move_only_function<void()> done)
{
    auto const delay = Duration(static_cast<std::int64_t>(random("worker pool").below(1'000'000)));
    state_->world.schedule(now() + delay, "work", [work = std::move(work), done = std::move(done)]() mutable {
        work();
        done();
    });
}

}  // namespace plexus::sim
