#include <doctest/doctest.h>

#include "base/sim_env.h"

using namespace plexus;
using namespace plexus::sim;
using namespace std::chrono_literals;

namespace {

Task<> echo_once(Acceptor& acceptor)
{
    auto socket = (co_await acceptor.accept()).value();
    auto buffer = Bytes(1000);
    for (;;) {
        auto const count = (co_await socket->read_some(buffer)).value_or(0);
        if (count == 0) {
            break;
        }
        auto const part = ByteView(buffer).first(count);
        CHECK(co_await socket->write(part));
    }
    CHECK(co_await socket->close_write());
}

Task<> exchange(World& world, SimEnv& left, SimEnv& right, std::size_t size, Bytes& received)
{
    auto acceptor = right.network().listen({right.address(), 4001}).value();
    auto scope = TaskScope(world.executor());
    scope.spawn("echo", echo_once(*acceptor));
    auto const deadline = left.deadline_in(5s);
    auto socket = (co_await left.network().connect({right.address(), 4001}, deadline)).value();
    auto const sent = left.random("data").bytes(size);
    CHECK(co_await socket->write(sent));
    CHECK(co_await socket->close_write());
    auto buffer = Bytes(777);
    while (auto const count = (co_await socket->read_some(buffer)).value_or(0)) {
        append(received, ByteView(buffer).first(count));
    }
    CHECK(received == sent);
    co_await scope.join();
}

std::uint64_t trace_of(std::uint64_t seed)
{
    auto world = World(seed);
    world.set_split_share(0.5);
    auto& left = world.add_device("left");
    auto& right = world.add_device("right");
    world.set_link("left", "right", Link{.delay = 10ms, .loss = 0.1});
    auto received = Bytes{};
    CHECK(world.run(exchange(world, left, right, 20'000, received)));
    return world.trace_hash();
}

}  // namespace

TEST_CASE("simulation: the same seed gives the same trace, another seed another one")
{
    CHECK(trace_of(7) == trace_of(7));
    CHECK(trace_of(7) != trace_of(8));
}

TEST_CASE("simulation: a round trip takes twice the delay of the link")
{
    auto world = World(1);
    auto& left = world.add_device("left");
    auto& right = world.add_device("right");
    world.set_link("left", "right", Link{.delay = 10ms, .jitter = {}});
    auto const start = world.now();
    auto received = Bytes{};

    CHECK(world.run(exchange(world, left, right, 1, received)));

    CHECK(world.now() - start >= 40ms);
    CHECK(world.now() - start < 70ms);
}

TEST_CASE("simulation: a cut link stalls bytes and healing lets them through")
{
    auto world = World(2);
    auto& left = world.add_device("left");
    auto& right = world.add_device("right");
    auto received = Bytes{};
    auto task = [&]() -> Task<> {
        auto acceptor = right.network().listen({right.address(), 4001}).value();
        auto socket = (co_await left.network().connect({right.address(), 4001}, left.deadline_in(1s))).value();
        auto other = (co_await acceptor->accept()).value();
        world.set_link("left", "right", Link{.cut = true});
        CHECK(co_await socket->write(as_view("late")));
        co_await sleep_for(left, 3s);
        world.set_link("left", "right", Link{});
        auto buffer = Bytes(8);
        auto const before = world.now();
        CHECK((co_await other->read_some(buffer)).has_value());
        CHECK(world.now() - before < 1s);
    };
    CHECK(world.run(task()));
}

TEST_CASE("simulation: a crashed device resets its connections and a silent one says nothing")
{
    for (auto const silent : {false, true}) {
        auto world = World(3);
        auto& left = world.add_device("left");
        auto& right = world.add_device("right");
        auto task = [&]() -> Task<> {
            auto acceptor = right.network().listen({right.address(), 4001}).value();
            auto socket = (co_await left.network().connect({right.address(), 4001}, left.deadline_in(1s))).value();
            auto other = (co_await acceptor->accept()).value();
            right.crash(silent);
            auto buffer = Bytes(8);
            auto const result = co_await with_deadline(left, left.deadline_in(5s), socket->read_some(buffer));
            CHECK(result.error().kind == (silent ? ErrorKind::timed_out : ErrorKind::closed));
        };
        CHECK(world.run(task()));
    }
}

TEST_CASE("simulation: connecting to nobody is refused and to a cut device times out")
{
    auto world = World(4);
    auto& left = world.add_device("left");
    auto& right = world.add_device("right");
    auto task = [&]() -> Task<> {
        auto refused = co_await left.network().connect({right.address(), 1}, left.deadline_in(1s));
        CHECK(refused.error().kind == ErrorKind::refused);
        world.set_link("left", "right", Link{.cut = true});
        auto late = co_await left.network().connect({right.address(), 1}, left.deadline_in(1s));
        CHECK(late.error().kind == ErrorKind::timed_out);
    };
    CHECK(world.run(task()));
}

TEST_CASE("simulated disk: what was made durable survives a crash, and room is counted")
{
    auto world = World(5);
    auto& device = world.add_device("device");
    auto& disk = device.disk();
    CHECK(disk.make_folders("/state", 0700));
    CHECK(disk.write_file("/state/log", as_view("first"), 0600));
    CHECK(disk.create("/state/torn", 0600).value()->write(as_view("never synced")));

    device.crash();
    CHECK_FALSE(disk.write_file("/state/log", as_view("second"), 0600));
    device.restart();

    CHECK(as_text(disk.read_file("/state/log", 100).value()) == "first");
    device.set_disk_room(3);
    CHECK(disk.write_file("/state/log", as_view("third"), 0600).error().kind == ErrorKind::out_of_space);
    CHECK(as_text(disk.read_file("/state/log", 100).value()) == "first");
}

TEST_CASE("simulated disk: of what was written at places and not made durable a crash keeps some")
{
    auto lost = 0;
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
        auto world = World(seed);
        auto& device = world.add_device("device");
        auto& disk = device.disk();
        auto const file = disk.create("/file", 0600).value();
        CHECK(file->reserve(8));
        CHECK(file->sync());
        CHECK(disk.sync_folder("/"));
        CHECK(file->write_at(2, as_view("ab")));
        CHECK(file->write_at(0, as_view("xyz")));

        device.crash();
        device.restart();

        auto const bytes = disk.read_file("/file", 100).value();
        CHECK(bytes.size() == 8);
        CHECK(std::ranges::all_of(ByteView(bytes).subspan(4), [](std::byte each) { return each == std::byte{}; }));
        lost += as_text(ByteView(bytes).first(4)) == "xyzb" ? 0 : 1;
    }
    CHECK(lost > 5);
}

TEST_CASE("simulated process: answers on its channel and reports being killed")
{
    auto world = World(6);
    auto& device = world.add_device("device");
    device.set_program("/bin/echo", [](Env&, ByteStream& channel, ProcessOptions) -> Task<int> {
        auto buffer = Bytes(10);
        for (;;) {
            auto const count = (co_await channel.read_some(buffer)).value_or(0);
            if (count == 0) {
                co_return 0;
            }
            auto const part = ByteView(buffer).first(count);
            CHECK(co_await channel.write(part));
        }
    });
    auto task = [&]() -> Task<> {
        auto process = device.processes().start({.program = "/bin/echo"}).value();
        CHECK(co_await process->channel().write(as_view("hi")));
        auto buffer = Bytes(10);
        CHECK((co_await process->channel().read_some(buffer)).has_value());
        process->kill();
        CHECK(co_await process->wait() == 137);
        CHECK((co_await process->channel().read_some(buffer)).error().kind == ErrorKind::closed);
    };
    CHECK(world.run(task()));
}

TEST_CASE("task scope: a task that is cancelled before it could start never runs")
{
    auto world = sim::World(1);
    auto scope = TaskScope(world.executor());
    auto ran = false;
    auto task = [](bool& noted) -> Task<> {
        noted = true;
        co_return;
    };
    scope.spawn("late", task(ran));
    scope.cancel();
    world.run_for(1s);
    CHECK_FALSE(ran);
    CHECK(scope.running() == 0);
}

TEST_CASE("task scope: a task may cancel its own scope before it has ever waited")
{
    auto world = sim::World(1);
    auto scope = TaskScope(world.executor());
    auto task = [](TaskScope& own) -> Task<> {
        own.cancel();
        co_return;
    };
    scope.spawn("rash", task(scope));
    world.run_for(1s);
    CHECK(scope.running() == 0);
}
