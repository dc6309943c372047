#pragma once

// Inside of the simulation: the event queue and the seeded random streams. Not for other modules.

#include "base/sim_env.h"

namespace plexus::sim {

std::uint64_t mix(std::uint64_t left, std::uint64_t right);
std::uint64_t hash_text(std::string_view text);

class SeededRandom final : public Random {
public:
    explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
    void fill(MutableByteView target) override;

private:
    std::uint64_t state_;
};

/// One stream a component, so that a new draw in one shifts no other.
class RandomStreams {
public:
    explicit RandomStreams(std::uint64_t seed) : seed_(seed) {}
    Random& get(std::string_view component);

private:
    std::uint64_t seed_;
    std::map<std::string, std::unique_ptr<SeededRandom>, std::less<>> streams_;
};

class SimAcceptor;
class SimGroupSocket;

struct World::State {
    using EventKey = std::tuple<Time, std::uint64_t, Env::TimerId>;
    struct Event {
        std::uint64_t what;
        std::move_only_function<void()> action;
    };

    explicit State(std::uint64_t world_seed)
        : seed(world_seed), order(mix(seed, hash_text("order"))), random(seed), hash(seed)
    {
    }

    Env::TimerId schedule(Time at, std::string_view what, std::move_only_function<void()> action);
    void cancel(Env::TimerId id);
    void settle();
    bool step(Time end);
    Link link(std::string const& left, std::string const& right) const;
    void links_changed();

    std::uint64_t seed;
    asio::io_context context{1};
    SeededRandom order;
    RandomStreams random;
    Time now{std::chrono::hours(1)};
    std::uint64_t hash;
    std::uint64_t events = 0;
    Env::TimerId last_id = 0;
    std::map<EventKey, Event> queue;
    std::map<Env::TimerId, EventKey> keys;
    std::map<std::pair<std::string, std::string>, Link> links;
    Link default_link;
    double split_share = 0.1;
    std::map<Endpoint, SimAcceptor*> acceptors;
    std::uint64_t last_member = 0;
    std::map<std::uint64_t, SimGroupSocket*> members;  // of multicast groups
    std::uint64_t last_watcher = 0;
    std::map<std::uint64_t, std::function<void()>> link_watchers;
    std::vector<std::unique_ptr<SimEnv>> devices;
};

}  // namespace plexus::sim
