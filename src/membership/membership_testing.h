#pragma once

#include <algorithm>

#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "membership/membership.h"

namespace plexus::membership {

inline crypto::KeyPair test_key(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

/// A device of a simulated world with a host and its membership.
class TestDevice {
public:
    TestDevice(sim::World& world, std::string name) : name_(name), env(world.add_device(name)) { start(); }

    void start()
    {
        membership = Membership::open(env, "/data", name_).value();
        host = host::make_host(env, membership->identity(), *membership);
        REQUIRE(host->listen(multiformats::Multiaddr::from_tcp({env.address(), 7598})));
        membership->start(*host);
    }

    Task<> stop()
    {
        co_await membership->stop();
        co_await host->stop();
    }

    /// Stops in order and starts again on the same disk.
    Task<> restart()
    {
        co_await stop();
        host.reset();
        start();
    }

    PeerId const& id() const { return membership->self(); }
    Deadline soon() const { return env.deadline_in(std::chrono::seconds(20)); }

    std::vector<std::string> names() const
    {
        auto names = std::vector<std::string>{};
        for (auto const& member : membership->members()) {
            names.push_back(member.name);
        }
        std::ranges::sort(names);
        return names;
    }

    bool is_connected_to(TestDevice const& other) const
    {
        return std::ranges::any_of(host->connections(), [&](host::ConnectionInfo const& connection) {
            return connection.peer == other.id() && connection.admission == host::Admission::member;
        });
    }

    Task<Result<PeerId>> join(std::string link) { return membership->join(std::move(link), soon()); }

private:
    std::string name_;

public:
    sim::SimEnv& env;
    std::unique_ptr<Membership> membership;
    std::unique_ptr<host::Host> host;
};

/// Three devices that know nothing of each other yet.
struct ThreeDevices {
    explicit ThreeDevices(std::uint64_t seed) : world(seed) {}

    /// Runs `task`, then stops all devices.
    void run(Task<> task)
    {
        auto whole = [](ThreeDevices& all, Task<> inner) -> Task<> {
            auto failure = std::exception_ptr{};
            try {
                co_await std::move(inner);
            } catch (...) {
                failure = std::current_exception();
            }
            for (auto* device : {&all.a, &all.b, &all.c}) {
                co_await device->stop();
            }
            if (failure) {
                std::rethrow_exception(failure);
            }
        };
        REQUIRE(world.run(whole(*this, std::move(task))));
    }

    sim::World world;
    TestDevice a{world, "a"}, b{world, "b"}, c{world, "c"};
};

}  // namespace plexus::membership
