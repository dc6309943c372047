#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "crypto/digest.h"
#include "host/host.h"
#include "host/identify.h"
#include "host/scope.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::host;
using namespace std::chrono_literals;

namespace {

struct TestGater : Gater {
    Admission admission = Admission::member;
    bool addresses = true;
    bool allow_address(Endpoint const&, Direction) override { return addresses; }
    Admission admit(PeerId const&, Direction) override { return admission; }
};

crypto::KeyPair key(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

/// Two devices on a simulated link; `right` listens and echoes.
struct Mesh {
    sim::World world;
    sim::SimEnv& left_env;
    sim::SimEnv& right_env;
    TestGater left_gater, right_gater;
    std::unique_ptr<Host> left, right;
    Multiaddr address, left_address;

    explicit Mesh(std::uint64_t seed = 1, Options options = {})
        : world(seed), left_env(world.add_device("left")), right_env(world.add_device("right")),
          left(make_host(left_env, key(1), left_gater, options)), right(make_host(right_env, key(2), right_gater, options))
    {
        address = right->listen(Multiaddr::from_tcp({right_env.address(), 4001})).value();
        left_address = left->listen(Multiaddr::from_tcp({left_env.address(), 4001})).value();
        right->handle("/test/echo/1", Admission::member, echo);
    }

    static Task<> echo(std::unique_ptr<Stream> stream)
    {
        auto buffer = Bytes(100'000);
        for (;;) {
            auto const count = co_await stream->read_some(buffer);
            if (!count || *count == 0) {
                break;
            }
            auto const written = co_await stream->write(ByteView(buffer).first(*count));
            if (!written) {
                co_return;
            }
        }
        std::ignore = co_await stream->close_write();
    }

    /// Runs `task`, then stops both hosts.
    void run(Task<> task, Duration limit = 10min)
    {
        auto whole = [](Mesh& mesh, Task<> inner) -> Task<> {
            co_await std::move(inner);
            co_await mesh.left->stop();
            co_await mesh.right->stop();
        };
        REQUIRE(world.run(whole(*this, std::move(task)), limit));
    }

    Task<Result<void>> connect() { return left->connect(right->local_peer(), {address}, left_env.deadline_in(10s)); }
    Deadline soon() { return left_env.deadline_in(10s); }
};

Task<Result<Bytes>> exchange(Stream& stream, Bytes sent)
{
    auto received = Bytes{};
    auto writer = [](Stream& used, Bytes const& bytes) -> Task<> {
        std::ignore = co_await used.write(bytes);
        std::ignore = co_await used.close_write();
    };
    auto scope = TaskScope(co_await asio::this_coro::executor);
    scope.spawn("writer", writer(stream, sent));
    auto buffer = Bytes(65'536);
    auto failure = std::optional<Error>{};
    for (;;) {
        auto const count = co_await stream.read_some(buffer);
        if (!count) {
            failure = count.error();
        }
        if (!count || *count == 0) {
            break;
        }
        append(received, ByteView(buffer).first(*count));
    }
    co_await scope.join();
    if (failure) {
        co_return std::unexpected(*failure);
    }
    co_return received;
}

}  // namespace

TEST_CASE("host: the first answer arrives after three round trips")
{
    auto mesh = Mesh(7);
    mesh.world.set_default_link({.delay = 10ms, .jitter = {}});
    auto task = [&]() -> Task<> {
        auto const start = mesh.world.now();
        CHECK(co_await mesh.connect());
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
        CHECK(co_await stream->write(as_view("x")));
        auto buffer = Bytes(1);
        CHECK((co_await stream->read_some(buffer)).value() == 1);
        auto const took = mesh.world.now() - start;
        CHECK(took >= 60ms);
        CHECK(took < 66ms);
    };
    mesh.run(task());
}

TEST_CASE("host: bytes come back whole whatever the split, and both sides learn who the other is")
{
    for (auto const seed : {1U, 2U, 3U}) {
        auto mesh = Mesh(seed);
        mesh.world.set_split_share(seed == 1 ? 0.0 : 0.5);
        auto task = [&]() -> Task<> {
            CHECK(co_await mesh.connect());
            auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
            auto const sent = mesh.left_env.random("data").bytes(seed == 1 ? 4'000'000 : 100'000);
            CHECK((co_await exchange(*stream, sent)).value() == sent);
            co_await sleep_for(mesh.left_env, 1s);
            CHECK(mesh.left->connections().at(0).agent == "plexus-mesh/" PLEXUS_VERSION);
            CHECK(mesh.right->connections().at(0).peer == mesh.left->local_peer());
            CHECK(mesh.left->connections().at(0).round_trip > Duration::zero());
        };
        mesh.run(task());
    }
}

TEST_CASE("host: a peer the gater refuses sees the connection end and gets no protocol")
{
    auto mesh = Mesh{};
    mesh.right_gater.admission = Admission::refused;
    auto task = [&]() -> Task<> {
        std::ignore = co_await mesh.connect();
        auto stream = co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon());
        if (stream) {
            auto const answer = co_await exchange(**stream, to_bytes("hello"));
            CHECK(answer.error().kind == ErrorKind::closed);
        }
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(mesh.left->connections().empty());
        CHECK(mesh.right->connections().empty());
    };
    mesh.run(task());
}

TEST_CASE("host: a connection admitted for pairing carries pairing only, and no identify")
{
    auto mesh = Mesh{};
    mesh.right_gater.admission = Admission::pairing;
    mesh.left_gater.admission = Admission::pairing;
    mesh.right->handle("/test/pair/1", Admission::pairing, Mesh::echo);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        for (auto const* protocol : {"/test/echo/1", "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"}) {
            auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), protocol, mesh.soon())).value();
            CHECK((co_await exchange(*stream, to_bytes("hello"))).error().kind == ErrorKind::refused);
        }
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/pair/1", mesh.soon())).value();
        CHECK(as_text((co_await exchange(*stream, to_bytes("hello"))).value()) == "hello");
        CHECK(mesh.left->connections().at(0).agent.empty());

        mesh.right_gater.admission = Admission::refused;
        mesh.right->reconsider();
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(mesh.left->connections().empty());
    };
    mesh.run(task());
}

TEST_CASE("host: another identity at the address is not allowed")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        auto const stranger = PeerId::from_public_key(key(9).public_key().encode()).value();
        auto const connected = co_await mesh.left->connect(stranger, {mesh.address}, mesh.soon());
        CHECK(connected.error().kind == ErrorKind::not_allowed);
    };
    mesh.run(task());
}

TEST_CASE("host: of several addresses the one that works is found")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        auto const dead = Multiaddr::from_text("/ip4/10.9.9.9/tcp/1").value();
        auto const start = mesh.world.now();
        CHECK(co_await mesh.left->connect(mesh.right->local_peer(), {dead, mesh.address}, mesh.soon()));
        CHECK(mesh.world.now() - start < 1s);
        auto const nobody = PeerId::from_public_key(key(8).public_key().encode()).value();
        CHECK((co_await mesh.left->connect(nobody, {dead}, mesh.left_env.deadline_in(2s))).error().kind ==
              ErrorKind::timed_out);
        auto const unknown = PeerId::from_public_key(key(7).public_key().encode()).value();
        CHECK((co_await mesh.left->connect(unknown, {}, mesh.soon())).error().kind == ErrorKind::unavailable);
    };
    mesh.run(task());
}

TEST_CASE("host: two hundred streams at once, each with its own answer")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        auto scope = TaskScope(mesh.world.executor());
        auto good = 0;
        auto ask = [&mesh, &good](int number) -> Task<> {
            auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
            auto const sent = Bytes(5000, static_cast<std::byte>(number));
            auto const answer = co_await exchange(*stream, sent);
            good += answer && *answer == sent ? 1 : 0;
        };
        for (auto number = 0; number < 200; ++number) {
            scope.spawn("ask", ask(number));
        }
        for (auto second = 0; second < 60 && scope.running() > 0; ++second) {
            co_await sleep_for(mesh.left_env, 1s);
        }
        CHECK(good == 200);
        co_await scope.join();
    };
    mesh.run(task());
}

TEST_CASE("host: ping measures the link, and a member that goes away is told once")
{
    auto mesh = Mesh{};
    mesh.world.set_default_link({.delay = 5ms, .jitter = {}});
    auto task = [&]() -> Task<> {
        auto connected = 0;
        auto gone = 0;
        mesh.left->on_member_connected([&](PeerId const&) { ++connected; });
        mesh.left->on_member_disconnected([&](PeerId const&) { ++gone; });
        CHECK(co_await mesh.connect());
        for (auto count = 0; count < 100; ++count) {
            auto const took = co_await mesh.left->ping(mesh.right->local_peer(), mesh.soon());
            CHECK(took.value() >= 10ms);
            CHECK(took.value() < 12ms);
        }
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
        mesh.right_env.crash();
        auto buffer = Bytes(10);
        CHECK((co_await stream->read_some(buffer)).error().kind == ErrorKind::closed);
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(connected == 1);
        CHECK(gone == 1);
    };
    mesh.run(task());
}

TEST_CASE("host: a connection that is ending is not used for what is new")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        mesh.left->disconnect(mesh.right->local_peer());
        CHECK(co_await mesh.connect());
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
        CHECK((co_await exchange(*stream, to_bytes("hello"))).value() == to_bytes("hello"));
    };
    mesh.run(task());
}

TEST_CASE("host: bulk goes on a connection of its own, which both sides keep for it and which ends when it is idle")
{
    auto mesh = Mesh();
    auto told = 0;
    mesh.left->on_member_connected([&](PeerId const&) { ++told; });
    mesh.right->on_member_connected([&](PeerId const&) { ++told; });
    mesh.right->handle("/test/bulk/1", Admission::member, Mesh::echo, ConnectionUse::bulk);
    auto const uses = [](Host& host) {
        auto found = std::vector<ConnectionUse>{};
        for (auto const& connection : host.connections()) {
            found.push_back(connection.use);
        }
        return found;
    };
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        auto const peer = mesh.right->local_peer();
        for (auto round = 0; round < 2; ++round) {
            auto bulk =
                (co_await mesh.left->open_stream(peer, "/test/bulk/1", mesh.soon(), ConnectionUse::bulk)).value();
            auto const sent = Bytes(300'000, std::byte{7});
            CHECK((co_await exchange(*bulk, sent)).value() == sent);
            auto const both = std::vector{ConnectionUse::main, ConnectionUse::bulk};
            CHECK(uses(*mesh.left) == both);
            CHECK(uses(*mesh.right) == both);
        }
        auto stream = (co_await mesh.left->open_stream(peer, "/test/echo/1", mesh.soon())).value();
        CHECK((co_await exchange(*stream, Bytes(1))).value() == Bytes(1));

        co_await sleep_for(mesh.left_env, 60s);

        CHECK(uses(*mesh.left) == std::vector{ConnectionUse::main});
        CHECK(uses(*mesh.right) == std::vector{ConnectionUse::main});
        CHECK(told == 2);
    };
    mesh.run(task());
}

TEST_CASE("host: bulk is no reason to lose a peer, and the only connection serves for all")
{
    auto mesh = Mesh();
    auto lost = 0;
    mesh.left->on_member_disconnected([&](PeerId const&) { ++lost; });
    mesh.left->handle("/test/bulk/1", Admission::member, Mesh::echo, ConnectionUse::bulk);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        co_await sleep_for(mesh.left_env, 1s);
        mesh.left_gater.addresses = false;  // nobody can be dialled any more
        mesh.right_gater.addresses = false;
        auto const peer = mesh.left->local_peer();
        auto bulk = (co_await mesh.right->open_stream(peer, "/test/bulk/1", mesh.soon(), ConnectionUse::bulk)).value();

        CHECK((co_await exchange(*bulk, Bytes(1000))).value() == Bytes(1000));

        CHECK(mesh.left->connections().size() == 1);
        CHECK(mesh.left->connections().front().use == ConnectionUse::main);
        CHECK(lost == 0);
    };
    mesh.run(task());
}

TEST_CASE("host: a peer that falls silent is noticed by the keep-alive")
{
    auto mesh = Mesh(1, [] {
        auto options = Options{};
        options.keep_alive = 2s;
        return options;
    }());
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        co_await sleep_for(mesh.left_env, 1s);
        mesh.right_env.crash(true);
        co_await sleep_for(mesh.left_env, 6s);
        CHECK(mesh.left->connections().empty());
    };
    mesh.run(task());
}

TEST_CASE("host: a reader that does not read stops the writer, not the other streams")
{
    auto mesh = Mesh{};
    auto finished = false;
    auto task = [&]() -> Task<> {
        auto release = Signal(mesh.world.executor());
        mesh.right->handle("/test/lazy/1", Admission::member, [&release](std::unique_ptr<Stream>) -> Task<> {
            co_await release.wait();
        });
        CHECK(co_await mesh.connect());
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/lazy/1", mesh.soon())).value();
        auto const large = Bytes(10'000'000);
        auto scope = TaskScope(mesh.world.executor());
        auto writer = [&finished](Stream& used, Bytes const& bytes) -> Task<> {
            std::ignore = co_await used.write(bytes);
            finished = true;
        };
        scope.spawn("writer", writer(*stream, large));
        co_await sleep_for(mesh.left_env, 5s);
        CHECK_FALSE(finished);
        CHECK((co_await mesh.left->ping(mesh.right->local_peer(), mesh.soon())).has_value());
        release.notify();
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(finished);
        co_await scope.join();
    };
    mesh.run(task());
}

TEST_CASE("host: streams over the limit of all connections are refused, and there is room again when others end")
{
    auto options = Options{};
    options.limits.streams = 5;
    auto mesh = Mesh(1, options);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        co_await sleep_for(mesh.left_env, 1s);
        auto streams = std::vector<std::unique_ptr<Stream>>{};
        for (auto count = 0; count < 5; ++count) {
            streams.push_back((co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value());
            CHECK(co_await streams.back()->write(as_view("x")));
        }
        auto const refused = co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon());
        CHECK(refused.error().kind == ErrorKind::unavailable);
        streams.pop_back();
        co_await sleep_for(mesh.left_env, 1s);
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
        CHECK((co_await exchange(*stream, to_bytes("hello"))).value() == to_bytes("hello"));
    };
    mesh.run(task());
}

TEST_CASE("host: bytes over the memory of all connections break the stream that brings them, no other")
{
    auto options = Options{};
    options.limits.memory_bytes = 100'000;
    auto mesh = Mesh(1, options);
    auto task = [&]() -> Task<> {
        auto ending = std::optional<Error>{};
        mesh.right->handle("/test/late/1", Admission::member, [&](std::unique_ptr<Stream> stream) -> Task<> {
            co_await sleep_for(mesh.right_env, 2s);
            auto buffer = Bytes(1000);
            while (!ending) {
                auto const count = co_await stream->read_some(buffer);
                if (!count) {
                    ending = count.error();
                }
            }
        });
        CHECK(co_await mesh.connect());
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/late/1", mesh.soon())).value();
        auto const large = Bytes(200'000);
        CHECK(co_await stream->write(large));
        auto other = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
        CHECK((co_await exchange(*other, to_bytes("hello"))).value() == to_bytes("hello"));
        co_await sleep_for(mesh.left_env, 3s);
        CHECK((ending && ending->kind == ErrorKind::closed));
        auto buffer = Bytes(10);
        CHECK((co_await stream->read_some(buffer)).error().kind == ErrorKind::closed);
    };
    mesh.run(task());
}

TEST_CASE("host: what one peer holds on all its connections stays below its limit, and leaves the others theirs")
{
    auto limits = Limits{};
    auto const whole = std::make_shared<Scope>(limits.streams, limits.memory_bytes);
    auto one = Scope(3, 100, whole);
    auto other = Scope(3, 100, whole);

    for (auto count = 0; count < 3; ++count) {
        CHECK(one.has_room_for_stream());
        one.add_stream();
    }
    one.add_unread(60);

    CHECK_FALSE(one.has_room_for_stream());
    CHECK(one.has_room_for(40));
    CHECK_FALSE(one.has_room_for(41));
    CHECK(other.has_room_for_stream());
    CHECK(other.has_room_for(100));
    one.remove_stream();
    one.remove_unread(60);
    CHECK(one.has_room_for_stream());
    CHECK(one.has_room_for(100));
}

TEST_CASE("host: the streams of one peer are counted over all its connections")
{
    auto options = Options{};
    options.limits.streams_per_peer = 4;
    auto mesh = Mesh(1, options);
    auto task = [&]() -> Task<> {
        auto back = [&]() -> Task<> {
            CHECK(co_await mesh.right->connect(mesh.left->local_peer(), {mesh.left_address}, mesh.soon()));
        };
        auto scope = TaskScope(mesh.world.executor());
        scope.spawn("back", back());
        CHECK(co_await mesh.connect());
        co_await sleep_for(mesh.left_env, 1s);
        co_await scope.join();
        CHECK(mesh.left->connections().size() == 2);
        auto streams = std::vector<std::unique_ptr<Stream>>{};
        auto refused = std::optional<Error>{};
        for (auto count = 0; count < 10 && !refused; ++count) {
            auto opened = co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon());
            if (opened) {
                streams.push_back(std::move(*opened));
            } else {
                refused = opened.error();
            }
        }
        CHECK(streams.size() == 4);
        CHECK(refused->kind == ErrorKind::unavailable);
    };
    mesh.run(task());
}

TEST_CASE("host: limits see an IPv6 network as one source")
{
    auto const at = [](char const* text) { return source_of(asio::ip::make_address(text)); };
    CHECK(at("2001:db8:0:1::1") == at("2001:db8:0:ff:aaaa::2"));
    CHECK(at("2001:db8:0:1::1") != at("2001:db8:0:100::1"));
    CHECK(at("192.0.2.1") != at("192.0.2.2"));
    CHECK(at("::ffff:192.0.2.1") == at("192.0.2.1"));
}

TEST_CASE("host: strangers are few, have few streams, and are shown out after a while")
{
    auto options = Options{};
    options.limits.strangers = 2;
    auto mesh = Mesh(1, options);
    mesh.right_gater.admission = Admission::pairing;
    mesh.right->handle("/test/pair/1", Admission::pairing, Mesh::echo);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        co_await sleep_for(mesh.left_env, 1s);
        auto streams = std::vector<std::unique_ptr<Stream>>{};
        auto served = 0U;
        for (auto count = 0U; count < 3 * options.limits.streams_per_stranger; ++count) {
            streams.push_back(
                (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/pair/1", mesh.soon())).value());
            auto const written = co_await streams.back()->write(as_view("x"));
            auto buffer = Bytes(1);
            auto const read = co_await streams.back()->read_some(buffer);
            served += written && read ? 1 : 0;
        }
        CHECK(served == options.limits.streams_per_stranger);

        auto others = std::vector<std::unique_ptr<Host>>{};
        for (auto number = 10; number < 14; ++number) {
            others.push_back(make_host(mesh.left_env, key(number), mesh.left_gater));
            std::ignore = co_await others.back()->connect(mesh.right->local_peer(), {mesh.address}, mesh.soon());
        }
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(mesh.right->connections().size() == options.limits.strangers);
        co_await sleep_for(mesh.left_env, options.limits.pairing);
        CHECK(mesh.right->connections().empty());
        for (auto const& other : others) {
            co_await other->stop();
        }
    };
    mesh.run(task());
}

TEST_CASE("host: a member that may only pair from now on loses its connection with all that runs on it")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        auto gone = 0;
        mesh.right->on_member_disconnected([&](PeerId const&) { ++gone; });
        CHECK(co_await mesh.connect());
        auto stream = (co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/echo/1", mesh.soon())).value();
        CHECK(co_await stream->write(as_view("x")));
        auto buffer = Bytes(1);
        CHECK((co_await stream->read_some(buffer)).value() == 1);

        mesh.right_gater.admission = Admission::pairing;
        mesh.right->reconsider();

        CHECK((co_await stream->read_some(buffer)).error().kind == ErrorKind::closed);
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(gone == 1);
    };
    mesh.run(task());
}

TEST_CASE("host: addresses that fail at once do not hold up those behind them, however many they are")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        auto addresses = std::vector<Multiaddr>{};
        for (std::uint16_t port = 1; port <= 20; ++port) {
            addresses.push_back(Multiaddr::from_tcp({mesh.right_env.address(), port}));
        }
        addresses.push_back(mesh.address);
        auto const start = mesh.world.now();
        CHECK(co_await mesh.left->connect(mesh.right->local_peer(), addresses, mesh.soon()));
        CHECK(mesh.world.now() - start < 1s);
    };
    mesh.run(task());
}

TEST_CASE("host: remembered addresses keep their order, what is told last first, and their limit")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        auto const peer = mesh.right->local_peer();
        auto const at = [](int port) {
            return Multiaddr::from_tcp({asio::ip::make_address("192.0.2.1"), static_cast<std::uint16_t>(port)});
        };
        mesh.left->remember_addresses(peer, {at(1), at(2)});
        mesh.left->remember_addresses(peer, {at(3), at(2).with_peer(peer)});
        CHECK(mesh.left->remembered_addresses(peer) == std::vector{at(3), at(2), at(1)});
        for (auto port = 10; port < 100; ++port) {
            mesh.left->remember_addresses(peer, {at(port)});
        }
        CHECK(mesh.left->remembered_addresses(peer).size() == 32);
        CHECK(mesh.left->remembered_addresses(peer).front() == at(99));
        co_return;
    };
    mesh.run(task());
}

TEST_CASE("identify: a connected member is told of new addresses and protocols, and what a push leaves out stays")
{
    auto mesh = Mesh{};
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.connect());
        co_await sleep_for(mesh.left_env, 1s);
        CHECK((co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/new/1", mesh.soon())).error().kind ==
              ErrorKind::refused);

        auto const added = mesh.right->listen(Multiaddr::from_tcp({mesh.right_env.address(), 4002})).value();
        mesh.right->handle("/test/new/1", Admission::member, Mesh::echo);
        co_await sleep_for(mesh.left_env, 1s);

        auto const known = mesh.left->remembered_addresses(mesh.right->local_peer());
        CHECK(std::ranges::find(known, added) != known.end());
        CHECK(co_await mesh.left->open_stream(mesh.right->local_peer(), "/test/new/1", mesh.soon()));

        auto push = (co_await mesh.right->open_stream(mesh.left->local_peer(), std::string(identify_push_protocol),
                                                      mesh.soon()))
                        .value();
        auto const nothing = stream::frame_message(Bytes{});
        CHECK(co_await push->write(nothing));
        CHECK(co_await push->close_write());
        co_await sleep_for(mesh.left_env, 1s);
        CHECK(mesh.left->connections().at(0).agent == "plexus-mesh/" PLEXUS_VERSION);
    };
    mesh.run(task());
}

TEST_CASE("host: a connection cut after any byte of the handshake leaves nothing behind")
{
    auto options = Options{};
    for (std::size_t bytes = 0; bytes < 420; bytes += 7) {
        auto mesh = Mesh(bytes + 1, options);
        auto task = [&]() -> Task<> {
            auto socket = (co_await mesh.left_env.network().connect({mesh.right_env.address(), 4001}, mesh.soon())).value();
            auto const noise = mesh.left_env.random("garbage").bytes(bytes);
            auto const header = to_bytes("\x13/multistream/1.0.0\n\x07/noise\n");
            auto whole = concatenate({header, noise});
            whole.resize(bytes);
            CHECK(co_await socket->write(whole));
            co_await sleep_for(mesh.left_env, 1s);
            socket.reset();
            co_await sleep_for(mesh.left_env, 20s);
            CHECK(mesh.right->connections().empty());
            CHECK(co_await mesh.connect());
        };
        mesh.run(task());
    }
}

TEST_CASE("identify: the vector is read, and what is over a limit is refused")
{
    auto const framed = from_hex(
        "7d0a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c120804c0000201060fa11a0e2f69706673"
        "2f69642f312e302e301a102f697066732f70696e672f312e302e30220804c633640706c3502a0c706c657875732f302e312e303211706c65"
        "7875732d6d6573682f302e312e30").value();
    auto identify = Identify{};
    CHECK(merge(identify, ByteView(framed).subspan(1)));
    CHECK(identify.listen_addresses.at(0).text() == "/ip4/192.0.2.1/tcp/4001");
    CHECK(identify.observed_address->text() == "/ip4/198.51.100.7/tcp/50000");
    CHECK(identify.protocols == std::vector<std::string>{"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"});
    CHECK(identify.agent == "plexus-mesh/0.1.0");
    CHECK(stream::frame_message(encode(identify)) == framed);

    auto shown = Identify{};
    CHECK(merge(shown, encode(Identify{.agent = "a\x1b[2Jb\n" + std::string(1000, 'c')})));
    CHECK(shown.agent.starts_with("a[2Jbccc"));
    CHECK(shown.agent.size() == max_agent_bytes);

    auto many = Identify{.protocols = std::vector<std::string>(max_identify_protocols + 1, "/x")};
    auto target = Identify{};
    CHECK(merge(target, encode(many)).error().kind == ErrorKind::too_large);
}
