#include <doctest/doctest.h>

#include "membership/membership_testing.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::membership;
using namespace std::chrono_literals;
using host::Admission;

namespace {

struct Mesh : ThreeDevices {
    explicit Mesh(std::uint64_t seed = 1) : ThreeDevices(seed) {}

    Task<> wait(Duration duration) { return sleep_for(a.env, duration); }

    /// The link of a new invite of `device`.
    static std::string link_of(TestDevice& device, Duration lifetime = 5min)
    {
        return device.membership->invite(Role::member, lifetime).value().link;
    }
};

using Names = std::vector<std::string>;

/// A device that is not in the log and speaks `protocol` by hand.
Task<Result<Bytes>> say(TestDevice& from, TestDevice& to, std::string protocol, Bytes message)
{
    auto stream = co_await from.host->open_stream(to.id(), std::move(protocol), from.soon());
    if (!stream) {
        co_return std::unexpected(stream.error());
    }
    auto const written = co_await stream::write_message(**stream, message);
    if (!written) {
        co_return std::unexpected(written.error());
    }
    co_return co_await with_deadline(from.env, from.soon(), stream::read_message(**stream, 4096));
}

}  // namespace

TEST_CASE("pairing: with a link a device becomes a member, and both stay connected")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        auto const joined = co_await mesh.b.join(Mesh::link_of(mesh.a));
        CHECK(joined.value() == mesh.a.id());
        co_await mesh.wait(2s);
        CHECK(mesh.a.names() == Names{"a", "b"});
        CHECK(mesh.b.names() == Names{"a", "b"});
        CHECK(mesh.b.membership->mesh_id() == mesh.a.membership->mesh_id());
        CHECK(mesh.b.membership->find(mesh.b.id())->role == Role::member);
        CHECK(mesh.a.is_connected_to(mesh.b));
        CHECK(mesh.b.is_connected_to(mesh.a));
    };
    mesh.run(task());
}

TEST_CASE("pairing: a third device becomes known to all and finds all")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(10s);
        for (auto* device : {&mesh.a, &mesh.b, &mesh.c}) {
            CHECK(device->names() == Names{"a", "b", "c"});
        }
        CHECK(mesh.b.is_connected_to(mesh.c));
        CHECK(mesh.c.is_connected_to(mesh.b));
    };
    mesh.run(task());
}

TEST_CASE("pairing: a used invite lets nobody else in")
{
    auto mesh = Mesh(3);
    auto task = [&]() -> Task<> {
        auto const used = Mesh::link_of(mesh.a);
        auto const open = Mesh::link_of(mesh.a);
        CHECK(co_await mesh.b.join(used));
        auto const again = co_await mesh.c.join(used);
        CHECK(again.error().kind == ErrorKind::not_allowed);
        CHECK(again.error().text.find("used already") != std::string::npos);
        CHECK(mesh.c.names() == Names{"c"});
        CHECK(co_await mesh.c.join(open));
    };
    mesh.run(task());
}

TEST_CASE("pairing: an expired, a withdrawn and a broken invite are refused, each with its own sentence")
{
    auto mesh = Mesh(4);
    auto task = [&]() -> Task<> {
        auto const expired = Mesh::link_of(mesh.a, 1s);
        auto const withdrawn = mesh.a.membership->invite(Role::member, 5min).value();
        CHECK(mesh.a.membership->withdraw(withdrawn.id));
        co_await mesh.wait(3s);
        auto const late = co_await mesh.b.join(expired);
        CHECK(late.error().kind == ErrorKind::timed_out);
        auto const gone = co_await mesh.b.join(withdrawn.link);
        CHECK(gone.error().kind == ErrorKind::not_allowed);
        auto const broken = co_await mesh.b.join(expired.substr(0, expired.size() - 3));
        CHECK(broken.error().kind == ErrorKind::malformed);
        auto const own = co_await mesh.a.join(Mesh::link_of(mesh.a));
        CHECK(own.error().kind == ErrorKind::malformed);
        CHECK(mesh.a.names() == Names{"a"});
    };
    mesh.run(task());
}

TEST_CASE("pairing: three wrong secrets burn the invite")
{
    auto mesh = Mesh(5);
    auto task = [&]() -> Task<> {
        auto const text = Mesh::link_of(mesh.a);
        auto wrong = InviteLink::parse(text).value();
        wrong.secret[0] ^= std::byte{1};
        for (auto count = 0; count < max_wrong_proofs; ++count) {
            CHECK((co_await mesh.b.join(wrong.text())).error().kind == ErrorKind::not_allowed);
        }
        CHECK(mesh.a.membership->invites().empty());
        CHECK((co_await mesh.b.join(text)).error().kind == ErrorKind::not_allowed);
        CHECK(mesh.a.names() == Names{"a"});
    };
    mesh.run(task());
}

TEST_CASE("pairing: a recorded proof is worth nothing in another pairing")
{
    auto mesh = Mesh(6);
    auto task = [&]() -> Task<> {
        auto const link = InviteLink::parse(Mesh::link_of(mesh.a)).value();
        auto transcript = PairingTranscript{.joiner = mesh.b.id(),
                                            .host = mesh.a.id(),
                                            .invite_id = link.invite_id,
                                            .name = "b",
                                            .joiner_nonce = Bytes(nonce_bytes),
                                            .host_nonce = Bytes(nonce_bytes)};
        auto const recorded = transcript.proof_of(PairingTranscript::Side::joiner, link.secret);

        transcript.host_nonce = Bytes(nonce_bytes, std::byte{1});
        CHECK(transcript.proof_of(PairingTranscript::Side::joiner, link.secret) != recorded);
        CHECK(transcript.proof_of(PairingTranscript::Side::host, link.secret) != recorded);
        transcript.host_nonce = Bytes(nonce_bytes);
        transcript.joiner = mesh.c.id();
        CHECK(transcript.proof_of(PairingTranscript::Side::joiner, link.secret) != recorded);
        co_return;
    };
    mesh.run(task());
}

TEST_CASE("pairing: a device that is in a mesh with others does not join another")
{
    auto mesh = Mesh(7);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        auto const result = co_await mesh.b.join(Mesh::link_of(mesh.c));
        CHECK(result.error().kind == ErrorKind::conflict);
        CHECK(mesh.b.membership->invite(Role::member, 5min).error().kind == ErrorKind::not_allowed);
    };
    mesh.run(task());
}

TEST_CASE("pairing: a connection that breaks at any moment leaves the joiner in one mesh or the other, never between")
{
    for (auto delay = 0ms; delay < 260ms; delay += 10ms) {
        auto mesh = Mesh(static_cast<std::uint64_t>(100 + delay.count()));
        mesh.world.set_default_link({.delay = 10ms, .jitter = {}});
        auto task = [&]() -> Task<> {
            auto cutter = [&]() -> Task<> {
                co_await sleep_for(mesh.c.env, delay);
                mesh.a.host->disconnect(mesh.b.id());
            };
            auto scope = TaskScope(mesh.c.env.executor());
            scope.spawn("cutter", cutter());
            auto const joined = co_await mesh.b.join(Mesh::link_of(mesh.a));
            co_await scope.join();
            co_await mesh.wait(20s);
            if (joined) {
                CHECK(mesh.b.names() == Names{"a", "b"});
                CHECK(mesh.a.names() == Names{"a", "b"});
                CHECK(mesh.a.is_connected_to(mesh.b));
            } else {
                CHECK(mesh.b.names() == Names{"b"});
                CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
                CHECK(mesh.b.names() == Names{"a", "b"});
            }
        };
        mesh.run(task());
    }
}

TEST_CASE("pairing: a device that loses power right after it was let in finds the mesh again")
{
    for (auto delay = 5ms; delay < 200ms; delay += 5ms) {
        auto mesh = Mesh(static_cast<std::uint64_t>(200 + delay.count()));
        mesh.world.set_default_link({.delay = 10ms, .jitter = {}});
        auto task = [&]() -> Task<> {
            auto joining = [&]() -> Task<> { std::ignore = co_await mesh.b.join(Mesh::link_of(mesh.a)); };
            auto scope = TaskScope(mesh.b.env.executor());
            scope.spawn("join", joining());
            co_await mesh.wait(delay);
            mesh.b.env.crash();
            co_await scope.join();
            co_await mesh.b.stop();
            mesh.b.host.reset();
            mesh.b.env.restart();
            mesh.b.start();
            co_await mesh.wait(2min);
            if (mesh.b.names() == Names{"a", "b"}) {
                CHECK(mesh.a.is_connected_to(mesh.b));
            } else {
                CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
            }
        };
        mesh.run(task());
    }
}

TEST_CASE("membership: everything is there after a restart, and the devices find each other again")
{
    auto mesh = Mesh(8);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(2s);
        auto const id = mesh.a.id();
        co_await mesh.a.restart();
        co_await mesh.b.restart();
        CHECK(mesh.a.id() == id);
        CHECK(mesh.a.names() == Names{"a", "b"});
        co_await mesh.wait(10s);
        CHECK(mesh.a.is_connected_to(mesh.b));
    };
    mesh.run(task());
}

TEST_CASE("membership: a stranger gets no protocol, and no connection that lasts")
{
    auto mesh = Mesh(9);
    auto task = [&]() -> Task<> {
        mesh.b.host->remember_addresses(mesh.a.id(), mesh.a.host->listen_addresses());
        for (auto const* protocol : {membership_protocol, pairing_protocol, "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"}) {
            CHECK_FALSE(co_await say(mesh.b, mesh.a, protocol, to_bytes("hello")));
        }
        CHECK(mesh.a.host->connections().empty());
        CHECK(mesh.b.host->connections().empty());
    };
    mesh.run(task());
}

TEST_CASE("membership: while an invite is open a stranger can speak of pairing only")
{
    auto mesh = Mesh(10);
    auto task = [&]() -> Task<> {
        auto const link = Mesh::link_of(mesh.a);
        auto other = InviteLink::parse(link).value();
        other.invite_id[0] ^= std::byte{1};
        // A join that fails shows that the door is open as far as pairing.
        CHECK((co_await mesh.b.join(other.text())).error().kind == ErrorKind::not_allowed);
        CHECK(mesh.a.membership->admit(mesh.b.id(), host::Direction::inbound) == Admission::pairing);
        CHECK(mesh.a.membership->admit(mesh.b.id(), host::Direction::outbound) == Admission::refused);
        co_await mesh.wait(6min);
        CHECK(mesh.a.membership->admit(mesh.b.id(), host::Direction::inbound) == Admission::refused);
    };
    mesh.run(task());
}

TEST_CASE("membership: a removed device is shown out at once, everywhere, and stays out")
{
    auto mesh = Mesh(11);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(10s);
        REQUIRE(mesh.b.is_connected_to(mesh.c));
        CHECK(mesh.a.membership->revoke(mesh.c.id()));
        co_await mesh.wait(1s);
        CHECK_FALSE(mesh.a.is_connected_to(mesh.c));
        CHECK_FALSE(mesh.b.is_connected_to(mesh.c));
        CHECK(mesh.b.names() == Names{"a", "b"});
        co_await mesh.wait(3min);
        CHECK_FALSE(mesh.b.is_connected_to(mesh.c));
        CHECK_FALSE(mesh.a.is_connected_to(mesh.c));
    };
    mesh.run(task());
}

TEST_CASE("membership: a removed device that has not heard of it tries ever more slowly")
{
    auto mesh = Mesh(14);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(10s);
        CHECK(mesh.a.membership->revoke(mesh.c.id()));
        auto connections = 0;
        mesh.c.host->on_member_connected([&](PeerId const&) { ++connections; });
        co_await mesh.wait(1min);
        CHECK(connections > 1);
        CHECK(connections < 20);
    };
    mesh.run(task());
}

TEST_CASE("membership: what the disk did not take is written later")
{
    auto mesh = Mesh(15);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(2s);
        mesh.b.env.set_disk_room(0);
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(2s);
        CHECK(mesh.b.names() == Names{"a", "b", "c"});
        mesh.b.env.set_disk_room(1'000'000);
        co_await mesh.wait(6s);
        auto const bytes = mesh.b.env.disk().read_file("/data/membership.log", 100'000).value();
        CHECK(Log::decode(bytes).value().members().size() == 3);
    };
    mesh.run(task());
}

TEST_CASE("membership: a log that a member makes up is refused")
{
    auto mesh = Mesh(12);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(2s);
        auto foreign = Log::found(mesh.b.membership->identity(), "b", mesh.b.env.wall_now(), Bytes(16));
        auto forged = SyncMessage{.mesh = mesh.a.membership->mesh_id(), .heads = {}, .entries = {}, .hints = {}};
        forged.entries.push_back(foreign.missing_from({})[0]->bytes);
        CHECK_FALSE(co_await say(mesh.b, mesh.a, membership_protocol, encode(forged)));
        CHECK_FALSE(co_await say(mesh.b, mesh.a, membership_protocol, to_bytes("\xff\xff\xff\xff")));
        CHECK(mesh.a.names() == Names{"a", "b"});
        CHECK(mesh.a.is_connected_to(mesh.b));
    };
    mesh.run(task());
}

TEST_CASE("membership: a key that others may read, and damaged files, stop the start and are left as they are")
{
    auto world = sim::World(1);
    auto& env = world.add_device("a");
    auto const open = [&] { return Membership::open(env, "/data", "a"); };
    REQUIRE(open());
    auto const key = env.disk().read_file("/data/identity.key", 1000).value();
    auto const log = env.disk().read_file("/data/membership.log", 100'000).value();

    env.put_file("/data/identity.key", key, 0640);
    CHECK(open().error().kind == ErrorKind::not_allowed);
    CHECK(open().error().text.find("chmod 600") != std::string::npos);
    env.put_file("/data/identity.key", to_bytes("not a key"), 0600);
    CHECK(open().error().kind == ErrorKind::malformed);
    env.put_file("/data/identity.key", key, 0600);
    REQUIRE(open());

    auto cut = Bytes(log.begin(), log.end() - 1);
    env.put_file("/data/membership.log", cut, 0600);
    CHECK(open().error().kind == ErrorKind::malformed);
    CHECK(env.disk().read_file("/data/membership.log", 100'000).value() == cut);
}

TEST_CASE("membership: a disk that fails lets nobody in, and the invite's owner is told")
{
    auto mesh = Mesh(13);
    auto task = [&]() -> Task<> {
        auto const link = Mesh::link_of(mesh.a);
        mesh.a.env.set_disk_room(0);
        auto const failed = co_await mesh.b.join(link);
        CHECK(failed.error().kind == ErrorKind::unavailable);
        CHECK(mesh.a.names() == Names{"a"});
        CHECK(mesh.b.names() == Names{"b"});
        mesh.a.env.set_disk_room(1 << 20);
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
    };
    mesh.run(task());
}

TEST_CASE("membership: what a broken message brought before it broke counts at once")
{
    auto mesh = Mesh(16);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(10s);
        REQUIRE(mesh.b.is_connected_to(mesh.c));
        auto log = Log::decode(mesh.a.env.disk().read_file("/data/membership.log", 100'000).value()).value();
        auto const heads = log.heads();
        REQUIRE(log.revoke(mesh.a.membership->identity(), mesh.c.id(), mesh.a.env.wall_now()));
        auto message = SyncMessage{.mesh = log.mesh(), .heads = {}, .entries = {}, .hints = {}};
        message.entries = {log.missing_from(heads)[0]->bytes, to_bytes("no entry")};

        CHECK_FALSE(co_await say(mesh.c, mesh.b, membership_protocol, encode(message)));
        co_await mesh.wait(1s);

        CHECK_FALSE(mesh.b.is_connected_to(mesh.c));
        auto const kept = mesh.b.env.disk().read_file("/data/membership.log", 100'000).value();
        CHECK(Log::decode(kept).value().size() == log.size());
        CHECK(mesh.a.names() == Names{"a", "b"});
    };
    mesh.run(task());
}

TEST_CASE("membership: what members say of another's addresses never drives out where it was reached")
{
    auto mesh = Mesh(19);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(10s);
        auto const true_one = mesh.c.host->listen_addresses().at(0);
        REQUIRE(mesh.a.host->remembered_addresses(mesh.c.id()).front() == true_one);
        for (auto round = 0; round < 20; ++round) {
            auto message = SyncMessage{.mesh = mesh.a.membership->mesh_id(), .heads = {}, .entries = {}, .hints = {}};
            auto& hint = message.hints.emplace_back(AddressHint{.device = mesh.c.id(), .addresses = {}});
            for (auto count = 0; count < 8; ++count) {
                auto const port = static_cast<std::uint16_t>(1 + 8 * round + count);
                hint.addresses.push_back(
                    multiformats::Multiaddr::from_tcp({asio::ip::make_address("192.0.2.9"), port}));
            }
            CHECK(co_await say(mesh.b, mesh.a, membership_protocol, encode(message)));
        }
        auto const known = mesh.a.host->remembered_addresses(mesh.c.id());
        CHECK(known.front() == true_one);
        CHECK(known.size() > 8);

        mesh.a.host->disconnect(mesh.c.id());
        mesh.c.host->disconnect(mesh.a.id());
        co_await mesh.wait(10s);
        CHECK(mesh.a.is_connected_to(mesh.c));
    };
    mesh.run(task());
}

TEST_CASE("membership: a member holds a few exchanges at a time, however many it begins")
{
    auto mesh = Mesh(20);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(5s);
        auto streams = std::vector<std::unique_ptr<host::Stream>>{};
        auto const cut_off = from_hex("ffff7f").value();
        for (auto count = 0; count < 8; ++count) {
            streams.push_back(
                (co_await mesh.b.host->open_stream(mesh.a.id(), membership_protocol, mesh.b.soon())).value());
            CHECK(co_await streams.back()->write(cut_off));
        }
        auto refused = 0;
        for (auto const& stream : streams) {
            auto buffer = Bytes(1);
            auto const limit = mesh.b.env.deadline_in(100ms);
            auto const read = co_await with_deadline(mesh.b.env, limit, stream->read_some(buffer));
            refused += !read && read.error().kind == ErrorKind::closed ? 1 : 0;
        }
        CHECK(refused == 4);
        streams.clear();
        co_await mesh.wait(1s);
        auto const greeting = SyncMessage{
            .mesh = mesh.a.membership->mesh_id(), .heads = {}, .entries = {}, .hints = {}};
        CHECK(co_await say(mesh.b, mesh.a, membership_protocol, encode(greeting)));
    };
    mesh.run(task());
}

TEST_CASE("pairing: strangers that are refused make no work for the mesh")
{
    auto mesh = Mesh(21);
    auto task = [&]() -> Task<> {
        auto changes = 0;
        auto wrong = InviteLink::parse(Mesh::link_of(mesh.a)).value();
        wrong.invite_id[0] ^= std::byte{1};
        mesh.a.membership->on_change([&] { ++changes; });
        for (auto count = 0; count < 5; ++count) {
            CHECK((co_await mesh.b.join(wrong.text())).error().kind == ErrorKind::not_allowed);
        }
        co_await mesh.wait(1s);
        CHECK(changes == 0);
        CHECK(mesh.a.host->connections().empty());
    };
    mesh.run(task());
}

TEST_CASE("membership: an exchange that a slow link has broken is made again while the connection lives")
{
    auto mesh = Mesh(17);
    auto task = [&]() -> Task<> {
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(5s);
        auto const id = mesh.b.host->connections().at(0).id;
        mesh.world.set_link("a", "b", {.cut = true});
        CHECK(co_await mesh.c.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(13s);
        mesh.world.set_link("a", "b", {});
        co_await mesh.wait(10s);
        CHECK(mesh.b.host->connections().at(0).id == id);
        CHECK(mesh.b.names() == Names{"a", "b", "c"});
    };
    mesh.run(task());
}

TEST_CASE("membership: a log that does not name this device stops the start")
{
    auto world = sim::World(1);
    auto& env = world.add_device("a");
    auto& other = world.add_device("b");
    REQUIRE(Membership::open(env, "/data", "a"));
    REQUIRE(Membership::open(other, "/data", "b"));
    auto const foreign = other.disk().read_file("/data/membership.log", 100'000).value();

    env.put_file("/data/membership.log", foreign, 0600);

    auto const opened = Membership::open(env, "/data", "a");
    CHECK(opened.error().kind == ErrorKind::malformed);
    CHECK(opened.error().text.find("identity.key") != std::string::npos);
    CHECK(env.disk().read_file("/data/membership.log", 100'000).value() == foreign);
}

TEST_CASE("pairing: a device that has joined another mesh opens its door to strangers no more")
{
    auto mesh = Mesh(18);
    auto task = [&]() -> Task<> {
        auto const stale = Mesh::link_of(mesh.b);
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        CHECK(mesh.b.membership->invites().empty());
        CHECK(mesh.b.membership->admit(mesh.c.id(), host::Direction::inbound) == Admission::refused);
        CHECK_FALSE(co_await mesh.c.join(stale));
        CHECK(mesh.c.names() == Names{"c"});
    };
    mesh.run(task());
}

TEST_CASE("pairing: a host that does not know the secret changes nothing on the joiner")
{
    auto mesh = Mesh(19);
    auto task = [&]() -> Task<> {
        // A host of the same key answers as the invite's device would, with a log that is in order but a guessed proof.
        auto link = InviteLink::parse(Mesh::link_of(mesh.a)).value();
        auto log = Log::decode(mesh.a.env.disk().read_file("/data/membership.log", 100'000).value()).value();
        REQUIRE(log.add(mesh.a.membership->identity(), mesh.b.id(), Role::member, "b", mesh.a.env.wall_now()));
        auto accepted = PairingMessage(PairingMessage::Kind::accepted);
        accepted.proof = Bytes(crypto::Digest32::size);
        for (auto const* entry : log.missing_from({})) {
            accepted.mesh.entries.push_back(entry->bytes);
        }
        auto challenge = PairingMessage(PairingMessage::Kind::challenge);
        challenge.nonce = Bytes(nonce_bytes);
        mesh.a.host->handle(pairing_protocol, Admission::pairing, [&](std::unique_ptr<host::Stream> stream) -> Task<> {
            auto const first = encode(challenge);
            auto const second = encode(accepted);
            std::ignore = co_await stream::read_message(*stream, 4096);
            std::ignore = co_await stream::write_message(*stream, first);
            std::ignore = co_await stream::read_message(*stream, 4096);
            std::ignore = co_await stream::write_message(*stream, second);
        });
        auto const before = mesh.b.env.disk().read_file("/data/membership.log", 100'000).value();

        auto const joined = co_await mesh.b.join(link.text());

        CHECK(joined.error().kind == ErrorKind::not_allowed);
        CHECK(joined.error().text.find("does not know the secret") != std::string::npos);
        CHECK(mesh.b.names() == Names{"b"});
        CHECK(mesh.b.env.disk().read_file("/data/membership.log", 100'000).value() == before);
    };
    mesh.run(task());
}

TEST_CASE("pairing: a joiner whose disk fails stays alone, and joins with a new invite when it has room")
{
    auto mesh = Mesh(20);
    auto task = [&]() -> Task<> {
        mesh.b.env.set_disk_room(0);
        auto const failed = co_await mesh.b.join(Mesh::link_of(mesh.a));
        CHECK(failed.error().kind == ErrorKind::out_of_space);
        CHECK(mesh.b.names() == Names{"b"});
        mesh.b.env.set_disk_room(1 << 20);
        CHECK(co_await mesh.b.join(Mesh::link_of(mesh.a)));
        co_await mesh.wait(2s);
        CHECK(mesh.b.names() == Names{"a", "b"});
        CHECK(mesh.a.is_connected_to(mesh.b));
    };
    mesh.run(task());
}

TEST_CASE("pairing: no more invites are open than the limit")
{
    auto mesh = Mesh(21);
    auto task = [&]() -> Task<> {
        for (std::size_t count = 0; count < max_open_invites; ++count) {
            CHECK(mesh.a.membership->invite(Role::member, 1min));
        }
        CHECK(mesh.a.membership->invite(Role::member, 1min).error().kind == ErrorKind::unavailable);
        co_await mesh.wait(61s);
        CHECK(mesh.a.membership->invite(Role::member, 1min));
    };
    mesh.run(task());
}
