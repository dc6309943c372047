#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "catalog/catalog.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::catalog;
using namespace std::chrono_literals;
using multiformats::Multiaddr;

namespace {

struct OpenGater : host::Gater {
    bool allow_address(Endpoint const&, host::Direction) override { return true; }
    host::Admission admit(PeerId const&, host::Direction) override { return host::Admission::member; }
};

crypto::KeyPair key(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

Model model(std::string name, std::uint64_t size = 100'000'000)
{
    auto made = Model{};
    made.digest = crypto::sha256(as_view(name));
    made.names = {std::move(name)};
    made.size_bytes = size;
    return made;
}

/// One life of the daemon of a device: host and catalog.
struct Daemon {
    Daemon(sim::SimEnv& env_used, int number)
        : env(env_used), host(make_host(env, key(number), gater, {})), catalog(make_catalog(env))
    {
        address = host->listen(Multiaddr::from_tcp({env.address(), 4001})).value();
        catalog->start(*host);
    }

    Task<> stop()
    {
        co_await catalog->stop();
        co_await host->stop();
    }

    Task<> connect(Daemon& other)
    {
        CHECK(co_await host->connect(other.host->local_peer(), {other.address}, env.deadline_in(10s)));
    }

    /// What this device knows of `peer`; null if nothing.
    std::shared_ptr<Snapshot const> view(PeerId const& peer, State state = State::ready) const
    {
        for (auto const& entry : catalog->entries()) {
            if (entry.device == peer && entry.state == state) {
                return entry.snapshot;
            }
        }
        return nullptr;
    }
    std::shared_ptr<Snapshot const> view(Daemon const& other, State state = State::ready) const
    {
        return view(other.host->local_peer(), state);
    }

    sim::SimEnv& env;
    OpenGater gater;
    std::unique_ptr<host::Host> host;
    std::unique_ptr<Catalog> catalog;
    Multiaddr address;
};

struct Pair {
    explicit Pair(std::uint64_t seed = 1) : world(seed) {}

    void run(Task<> task)
    {
        auto whole = [](Pair& pair, Task<> inner) -> Task<> {
            co_await std::move(inner);
            co_await pair.left->stop();
            co_await pair.right->stop();
        };
        REQUIRE(world.run(whole(*this, std::move(task)), 1h));
    }

    sim::World world;
    sim::SimEnv& left_env = world.add_device("left");
    sim::SimEnv& right_env = world.add_device("right");
    std::unique_ptr<Daemon> left = std::make_unique<Daemon>(left_env, 1);
    std::unique_ptr<Daemon> right = std::make_unique<Daemon>(right_env, 2);
};

/// A catalog stream in the hands of a test.
Task<std::unique_ptr<host::Stream>> open_by_hand(Daemon& from, Daemon& to)
{
    auto const deadline = from.env.deadline_in(10s);
    co_return (co_await from.host->open_stream(to.host->local_peer(), std::string(catalog_protocol), deadline)).value();
}

Task<> write(host::Stream& stream, Snapshot snapshot)
{
    auto const message = encode(snapshot);
    std::ignore = co_await stream::write_message(stream, message);
}

}  // namespace

TEST_CASE("catalog: both devices know each other within a round trip or two of the connection")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        pair.right->catalog->set_models({model("tiny"), model("large")});
        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 100ms);

        auto const seen = pair.left->view(*pair.right);
        REQUIRE(seen);
        CHECK(seen->models.size() == 2);
        CHECK(seen->version == PLEXUS_VERSION);
        CHECK(seen->boot_epoch > 0);
        CHECK(pair.right->view(*pair.left));
        CHECK(pair.left->catalog->entries().at(0).is_self);
        auto const holders = pair.left->catalog->who_holds("large");
        REQUIRE(holders.size() == 1);
        CHECK(holders[0].entry.device == pair.right->host->local_peer());
        CHECK(holders[0].model->digest == model("large").digest);
        CHECK(pair.left->catalog->who_holds(model("tiny").digest).size() == 1);
        CHECK(pair.left->catalog->who_holds("Large").empty());
    };
    pair.run(task());
}

TEST_CASE("catalog: a hundred changes in a second reach a member as two or three, the last one complete")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 2s);
        auto changes = 0;
        auto last = std::uint64_t{0};
        pair.left->catalog->on_change([&] {
            auto const seen = pair.left->view(*pair.right);
            changes += seen && seen->sequence != last ? 1 : 0;
            last = seen ? seen->sequence : 0;
        });

        for (auto count = 1U; count <= 100; ++count) {
            pair.right->catalog->set_load(count, 0);
            co_await sleep_for(pair.right_env, 10ms);
        }
        co_await sleep_for(pair.left_env, 1s);

        CHECK(changes >= 2);
        CHECK(changes <= 3);
        CHECK(pair.left->view(*pair.right)->running == 100);
    };
    pair.run(task());
}

TEST_CASE("catalog: what does not change is not sent")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        co_await pair.left->connect(*pair.right);
        pair.right->catalog->set_load(1, 0);
        co_await sleep_for(pair.left_env, 2s);
        auto const before = pair.left->view(*pair.right)->sequence;
        pair.right->catalog->set_load(1, 0);
        pair.right->catalog->set_models({});
        co_await sleep_for(pair.left_env, 2s);
        CHECK(pair.left->view(*pair.right)->sequence == before);
    };
    pair.run(task());
}

TEST_CASE("catalog: a device that disconnects is away, and ready again when it is back")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        pair.right->catalog->set_models({model("tiny")});
        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 1s);
        pair.left->host->disconnect(pair.right->host->local_peer());
        co_await sleep_for(pair.left_env, 1s);

        auto const away = pair.left->view(*pair.right, State::away);
        REQUIRE(away);
        CHECK(away->models.size() == 1);
        CHECK(pair.left->catalog->who_holds("tiny").at(0).entry.state == State::away);

        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 1s);
        CHECK(pair.left->view(*pair.right));
        pair.left->catalog->forget(pair.right->host->local_peer());
        CHECK_FALSE(pair.left->view(*pair.right));
    };
    pair.run(task());
}

TEST_CASE("catalog: a device that crashes and starts again replaces its entry, whatever its clock says")
{
    for (auto const offset : {Duration(0), Duration(-100h)}) {
        auto pair = Pair{};
        auto task = [&]() -> Task<> {
            pair.right->catalog->set_models({model("old"), model("other")});
            pair.right->catalog->set_load(7, 7);
            co_await pair.left->connect(*pair.right);
            co_await sleep_for(pair.left_env, 1s);
            auto const before = pair.left->view(*pair.right)->boot_epoch;

            pair.right_env.crash();
            co_await sleep_for(pair.left_env, 1s);
            CHECK(pair.left->view(*pair.right, State::away));
            co_await pair.right->stop();
            pair.right_env.restart();
            pair.right_env.set_clock_offset(offset);
            pair.right = std::make_unique<Daemon>(pair.right_env, 2);
            pair.right->catalog->set_models({model("new")});
            co_await pair.left->connect(*pair.right);
            co_await sleep_for(pair.left_env, 1s);

            auto const seen = pair.left->view(*pair.right);
            REQUIRE(seen);
            CHECK(seen->boot_epoch != before);
            CHECK(seen->running == 0);
            REQUIRE(seen->models.size() == 1);
            CHECK(seen->models[0].names.at(0) == "new");
            CHECK(pair.left->catalog->who_holds("old").empty());
        };
        pair.run(task());
    }
}

TEST_CASE("catalog: a late word of an earlier life does not replace the present one")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 1s);
        auto ghost = *pair.left->view(*pair.right);
        --ghost.boot_epoch;
        ghost.sequence += 100;
        ghost.running = 99;

        auto changes = 0;
        pair.left->catalog->on_change([&] { ++changes; });

        auto stream = co_await open_by_hand(*pair.right, *pair.left);
        co_await write(*stream, ghost);
        co_await sleep_for(pair.left_env, 1s);

        CHECK(changes == 0);
        CHECK(pair.left->view(*pair.right)->running == 0);
    };
    pair.run(task());
}

TEST_CASE("catalog: a stream that counts backwards, changes its life or sends garbage ends, and a better one is taken again")
{
    auto const hostile = std::vector<std::function<Bytes(Snapshot)>>{
        [](Snapshot snapshot) { return encode(snapshot); },  // the same sequence again
        [](Snapshot snapshot) {
            ++snapshot.boot_epoch;
            ++snapshot.sequence;
            return encode(snapshot);
        },
        [](Snapshot) { return to_bytes("\xff\xff\xff"); },
        [](Snapshot) { return Bytes(max_snapshot_bytes + 1); },
    };
    for (auto const& make : hostile) {
        auto pair = Pair{};
        auto task = [&]() -> Task<> {
            co_await pair.right->catalog->stop();
            co_await pair.left->connect(*pair.right);
            co_await sleep_for(pair.left_env, 100ms);
            auto snapshot = Snapshot{};
            snapshot.boot_epoch = snapshot.sequence = 5;
            snapshot.running = 5;
            auto stream = co_await open_by_hand(*pair.right, *pair.left);
            co_await write(*stream, snapshot);
            co_await sleep_for(pair.left_env, 100ms);
            REQUIRE(pair.left->view(*pair.right));

            auto const message = make(snapshot);
            std::ignore = co_await stream::write_message(*stream, message);
            auto buffer = Bytes(1);
            CHECK((co_await stream->read_some(buffer)).error().kind == ErrorKind::closed);
            CHECK(pair.left->view(*pair.right, State::away)->running == 5);

            auto better = co_await open_by_hand(*pair.right, *pair.left);
            co_await write(*better, snapshot);
            co_await sleep_for(pair.left_env, 1s);
            CHECK(pair.left->view(*pair.right));
        };
        pair.run(task());
    }
}

TEST_CASE("catalog: a stream that is lost while the connection lives is opened again soon")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 1s);
        auto stream = co_await open_by_hand(*pair.right, *pair.left);
        auto newer = *pair.left->view(*pair.right);
        newer.running = 5;
        co_await write(*stream, newer);
        co_await sleep_for(pair.left_env, 20ms);
        CHECK(pair.left->view(*pair.right)->running == 5);
        co_await sleep_for(pair.left_env, 100ms);
        CHECK(pair.left->view(*pair.right)->running == 0);
    };
    pair.run(task());
}

TEST_CASE("catalog: streams that say nothing are few and end after a while")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        co_await pair.left->connect(*pair.right);
        co_await sleep_for(pair.left_env, 1s);
        auto streams = std::vector<std::unique_ptr<host::Stream>>{};
        auto const half = to_bytes("\xff");
        for (auto count = 0; count < 10; ++count) {
            streams.push_back(co_await open_by_hand(*pair.right, *pair.left));
            std::ignore = co_await streams.back()->write(half);
        }
        co_await sleep_for(pair.left_env, 1s);
        auto ended = 0;
        for (auto const& stream : streams) {
            ended += (co_await stream->write(half)).has_value() ? 0 : 1;
        }
        CHECK(ended == 6);
        co_await sleep_for(pair.left_env, 11s);
        for (auto const& stream : streams) {
            CHECK_FALSE((co_await stream->write(half)).has_value());
        }
        CHECK(pair.left->view(*pair.right));
    };
    pair.run(task());
}

TEST_CASE("catalog: a member that takes nothing holds up neither the others nor its own entry")
{
    auto pair = Pair{};
    auto& third_env = pair.world.add_device("third");
    auto third = Daemon(third_env, 3);
    auto release = Signal(pair.world.executor());
    auto task = [&]() -> Task<> {
        third.host->handle(std::string(catalog_protocol), host::Admission::member,
                           [&release](std::unique_ptr<host::Stream>) -> Task<> { co_await release.wait(); });
        co_await pair.left->connect(third);
        co_await pair.left->connect(*pair.right);
        auto models = std::vector<Model>{};
        for (auto count = 0; count < 200; ++count) {
            models.push_back(model(fmt::format("{}-{}", std::string(100, 'x'), count)));
        }
        for (auto round = 0U; round < 20; ++round) {
            pair.left->catalog->set_models(models);
            pair.left->catalog->set_load(round, 0);
            co_await sleep_for(pair.left_env, 1s);
        }
        CHECK(pair.right->view(*pair.left)->running == 19);
        CHECK(pair.left->view(third));
        co_await third.stop();
    };
    pair.run(task());
}

TEST_CASE("catalog: speeds are estimates first, then follow what was measured")
{
    auto pair = Pair{};
    auto task = [&]() -> Task<> {
        auto& catalog = *pair.left->catalog;
        auto const digest = model("tiny").digest;
        catalog.set_models({model("tiny"), model("huge", 100'000'000'000)});
        auto const speed = [&](std::string_view name) { return catalog.who_holds(name).at(0).model->speed; };
        CHECK(speed("tiny").decode.is_estimate());
        CHECK(speed("tiny").decode.per_second > 100 * speed("huge").decode.per_second);

        catalog.observe(digest, 400, 100);
        CHECK(speed("tiny") == Speed{{400, 1}, {100, 1}});
        catalog.observe(digest, 0, 200);
        CHECK(speed("tiny") == Speed{{400, 1}, {130, 2}});
        catalog.observe(digest, std::nan(""), -1);
        catalog.observe(model("unknown").digest, 1, 1);
        CHECK(speed("tiny") == Speed{{400, 1}, {130, 2}});

        catalog.set_loaded({{digest, {4, 1, 4096}}});
        CHECK(catalog.who_holds("tiny").at(0).model->loaded == LoadedState{4, 1, 4096});
        catalog.set_loaded({});
        CHECK_FALSE(catalog.who_holds("tiny").at(0).model->loaded);
        catalog.set_models({});
        catalog.set_models({model("tiny")});
        CHECK(speed("tiny").decode.is_estimate());
        co_return;
    };
    pair.run(task());
}
