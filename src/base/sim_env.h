#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/env.h"

namespace plexus::sim {

class World;
class SimHttp;

/// How bytes travel between two devices, both ways. TCP semantics: loss costs a retransmission, never bytes.
struct Link {
    Duration delay = std::chrono::microseconds(200);  ///< one way
    Duration jitter = std::chrono::microseconds(50);
    std::uint64_t bytes_per_second = 125'000'000;
    double loss = 0.0;  ///< share of segments that are sent again after `retransmit`
    Duration retransmit = std::chrono::milliseconds(200);
    bool cut = false;  ///< nothing passes; connections stall until healed, or break after `break_after`
    Duration break_after = std::chrono::seconds(30);
};

/// A program of the simulation: serves `channel` and gives its exit status. Ended by cancellation when killed.
using Program = std::function<Task<int>(Env& env, ByteStream& channel, ProcessOptions options)>;

/// One device's environment in a World: its own random streams, disk, address and wall clock.
class SimEnv final : public Env {
public:
    SimEnv(World& world, std::string name, asio::ip::address address);
    ~SimEnv() override;

    std::string const& name() const;
    asio::ip::address address() const;

    /// From now on nothing this device does is seen outside: its connections are reset at the other ends
    /// (`silent`: they hear nothing at all), its disk keeps only what was made durable and refuses the rest.
    void crash(bool silent = false);
    /// The device is there again, with the disk as the crash left it.
    void restart();
    bool crashed() const;

    /// Added to the wall clock.
    void set_clock_offset(Duration offset);
    /// Bytes the disk can still take; writes over it fail with `out_of_space`.
    void set_disk_room(std::uint64_t bytes);
    /// Hard links fail from now on, as between two file systems.
    void refuse_links(bool refused);
    /// The next `count`-th write from now fails with `io`; 0 switches it off.
    void fail_disk_write(std::size_t count);
    void set_program(std::string const& path, Program program);
    /// The web that this device sees (base/sim_http.h).
    SimHttp& web();
    /// Puts a file there at once, durable.
    void put_file(std::filesystem::path const& path, Bytes bytes, unsigned mode = 0644);

    Executor executor() override;
    Time now() const override;
    WallTime wall_now() const override;
    TimerId start_timer(Time at, std::move_only_function<void()> action) override;
    void cancel_timer(TimerId id) override;
    Random& random(std::string_view component) override;
    Network& network() override;
    Disk& disk() override;
    Processes& processes() override;
    HttpClient& http() override;
    void post_work(std::move_only_function<void()> work, std::move_only_function<void()> done) override;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A virtual clock, a network of simulated devices and all chance, from one seed. The same seed and the same calls
/// give the same run, event by event; `trace_hash` proves it.
///
/// Not for several threads. Everything that lives on its loop must be stopped before it is destroyed.
class World {
public:
    explicit World(std::uint64_t seed);
    ~World();

    /// Adds a device with the next address 10.0.0.N. Owned by the world.
    SimEnv& add_device(std::string name);

    /// Sets the link between two devices, for new and existing connections.
    void set_link(std::string const& left, std::string const& right, Link link);
    void set_default_link(Link link);
    Link link(std::string const& left, std::string const& right) const;

    /// Read sizes: with this share a read gives a random part of what has arrived, down to one byte.
    void set_split_share(double share);

    Time now() const;
    Executor executor();
    Random& random(std::string_view component);

    /// Runs all that happens until then.
    void run_until(Time end);
    void run_for(Duration duration);
    /// Runs until the task has ended, at most `limit` of virtual time; then gives false and leaves it running.
    bool run(Task<> task, Duration limit = std::chrono::hours(1));

    /// Changes with every event: what, when, in which order.
    std::uint64_t trace_hash() const;
    std::uint64_t events() const;

    /// Adds a fact of the run (a state hash, an outcome) to the trace.
    void trace(std::string_view what, std::uint64_t value);

    struct State;  ///< for the parts of the simulation only

private:
    friend class SimEnv;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::sim
