#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "host/host.h"
#include "muxer/yamux_frame.h"
#include "negotiation/multistream.h"
#include "security/noise.h"

using namespace plexus;
using namespace plexus::host;
using namespace std::chrono_literals;
using muxer::FrameHeader;

namespace {

struct OpenGater : Gater {
    bool allow_address(Endpoint const&, Direction) override { return true; }
    Admission admit(PeerId const&, Direction) override { return Admission::member; }
};

crypto::Secret32 secret(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::Secret32(std::span<std::byte const, 32>(bytes));
}

/// A host, and a peer that shakes hands as it should and then sends what it wants.
struct Attack {
    sim::World world{1};
    sim::SimEnv& host_env = world.add_device("host");
    sim::SimEnv& peer_env = world.add_device("peer");
    OpenGater gater;
    std::unique_ptr<Host> host = make_host(host_env, crypto::KeyPair(secret(2)), gater);
    crypto::KeyPair identity{secret(9)};
    std::unique_ptr<Socket> socket;
    std::optional<security::SecureSession> session;
    int serving = 0;

    Attack()
    {
        REQUIRE(host->listen(Multiaddr::from_tcp({host_env.address(), 4001})));
        host->handle("/test/read/1", Admission::member, [this](std::unique_ptr<Stream> stream) -> Task<> {
            ++serving;
            auto buffer = Bytes(100);
            for (auto count = co_await stream->read_some(buffer); count && *count > 0;) {
                count = co_await stream->read_some(buffer);
            }
            --serving;
        });
    }

    void run(Task<> task)
    {
        auto whole = [](Attack& attack, Task<> inner) -> Task<> {
            co_await std::move(inner);
            auto const before = attack.world.now();
            co_await attack.host->stop();
            CHECK(attack.world.now() - before <= 2s);
            CHECK(attack.serving == 0);
        };
        REQUIRE(world.run(whole(*this, std::move(task)), 10min));
    }

    Task<> shake_hands()
    {
        socket = (co_await peer_env.network().connect({host_env.address(), 4001}, peer_env.deadline_in(1s))).value();
        auto negotiation = negotiation::Initiator({"/noise"});
        auto handshake = security::NoiseHandshake(identity, {.role = security::Role::initiator,
                                                             .muxers = {"/yamux/1.0.0"},
                                                             .static_secret = secret(10),
                                                             .ephemeral_secret = secret(11)});
        auto const first = concatenate({negotiation.start(), handshake.take_output()});
        CHECK(co_await socket->write(first));
        auto buffer = Bytes(4096);
        while (!handshake.done()) {
            auto const count = (co_await socket->read_some(buffer)).value();
            CHECK(count > 0);
            auto rest = to_bytes(ByteView(buffer).first(count));
            if (!negotiation.done()) {
                CHECK(negotiation.push(rest));
                rest = negotiation.done() ? negotiation.take_rest() : Bytes{};
            }
            CHECK(handshake.push(rest));
        }
        auto const last = handshake.take_output();
        CHECK(co_await socket->write(last));
        session = handshake.take_session();
    }

    /// False if the host no longer takes it.
    Task<Result<void>> send(Bytes plaintext)
    {
        auto frame = Bytes(security::frame_header + plaintext.size() + security::frame_tag);
        std::ranges::copy(plaintext, frame.begin() + security::frame_header);
        session->sealer.seal(frame);
        co_return co_await with_deadline(peer_env, peer_env.deadline_in(1s), socket->write(frame));
    }

    std::size_t streams() const
    {
        auto const connections = host->connections();
        return connections.empty() ? 0 : connections.front().streams;
    }
};

Bytes frame(FrameHeader header, ByteView body = {})
{
    return concatenate({ByteView(header.encode()), body});
}

Bytes proposal(std::string_view protocol)
{
    return concatenate({negotiation::encode_frame(negotiation::header), negotiation::encode_frame(protocol)});
}

Bytes opening(muxer::StreamId stream, ByteView body)
{
    return frame({.flags = FrameHeader::syn, .stream = stream, .length = static_cast<std::uint32_t>(body.size())},
                 body);
}

/// The host's own question for identify, which no attacker answers.
constexpr std::size_t own_streams = 1;

}  // namespace

TEST_CASE("hostile peer: a stream cut after any byte of its negotiation leaves nothing behind")
{
    auto const whole = proposal("/test/read/1");
    for (auto const cut : {FrameHeader::fin, FrameHeader::rst}) {
        auto attack = Attack{};
        auto task = [&]() -> Task<> {
            co_await attack.shake_hands();
            for (std::size_t bytes = 0; bytes <= whole.size(); ++bytes) {
                auto const stream = static_cast<muxer::StreamId>(1 + 2 * bytes);
                CHECK(co_await attack.send(opening(stream, ByteView(whole).first(bytes))));
                CHECK(co_await attack.send(
                    frame({.type = FrameHeader::Type::window_update, .flags = cut, .stream = stream})));
            }
            co_await sleep_for(attack.peer_env, 5s);
            CHECK(attack.streams() <= own_streams);
            CHECK(attack.serving == 0);
        };
        attack.run(task());
    }
}

TEST_CASE("hostile peer: a stream whose negotiation never ends is given up")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        CHECK(co_await attack.send(opening(1, {})));
        CHECK(co_await attack.send(opening(3, as_view("\x13/multistream"))));
        co_await sleep_for(attack.peer_env, 1s);
        CHECK(attack.streams() == own_streams + 2);
        co_await sleep_for(attack.peer_env, 10s);
        CHECK(attack.streams() <= own_streams);
    };
    attack.run(task());
}

TEST_CASE("hostile peer: an identify push over its limit changes nothing and costs its stream only")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        auto const agent = Bytes{std::byte{5},   std::byte{0x32}, std::byte{3},
                                 std::byte{'a'}, std::byte{'b'},  std::byte{'c'}};
        auto const push = proposal("/ipfs/id/push/1.0.0");
        CHECK(co_await attack.send(opening(1, concatenate({push, agent, from_hex("8140").value(), Bytes(8193)}))));
        auto many = push;
        for (auto count = 0; count < 20; ++count) {
            append(many, agent);
        }
        CHECK(co_await attack.send(opening(3, many)));
        co_await sleep_for(attack.peer_env, 1s);
        CHECK(attack.host->connections().at(0).agent.empty());
        CHECK(attack.streams() <= own_streams);
    };
    attack.run(task());
}

TEST_CASE("hostile peer: identify pushes that never end are few at a time")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        auto const begun = concatenate({proposal("/ipfs/id/push/1.0.0"), from_hex("8040").value(), Bytes(100)});
        for (muxer::StreamId stream = 1; stream < 41; stream += 2) {
            CHECK(co_await attack.send(opening(stream, begun)));
        }
        co_await sleep_for(attack.peer_env, 1s);
        CHECK(attack.streams() <= own_streams + 4);
        co_await sleep_for(attack.peer_env, 6s);
        CHECK(attack.streams() <= own_streams);
    };
    attack.run(task());
}

TEST_CASE("hostile peer: a storm of streams that are reset at once leaves no stream and no task")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        auto const body = proposal("/test/read/1");
        muxer::StreamId stream = 1;
        for (auto burst = 0; burst < 20; ++burst) {
            auto storm = Bytes{};
            for (auto count = 0; count < 300; ++count, stream += 2) {
                append(storm, opening(stream, body));
                append(storm,
                       frame({.type = FrameHeader::Type::window_update, .flags = FrameHeader::rst, .stream = stream}));
            }
            CHECK(co_await attack.send(storm));
        }
        co_await sleep_for(attack.peer_env, 1s);
        CHECK(attack.streams() <= own_streams);
        CHECK(attack.serving == 0);
    };
    attack.run(task());
}

TEST_CASE("hostile peer: one that breaks the muxer and does not read is gone in a moment")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        auto pings = Bytes{};
        for (auto count = 0U; count < 900; ++count) {
            append(pings, frame({.type = FrameHeader::Type::ping, .flags = FrameHeader::syn, .length = count}));
        }
        for (auto burst = 0; burst < 50 && !attack.host->connections().empty(); ++burst) {
            std::ignore = co_await attack.send(pings);
        }
        std::ignore = co_await attack.send(frame({.flags = FrameHeader::syn, .stream = 2}));
        co_await sleep_for(attack.peer_env, 3s);
        CHECK(attack.host->connections().empty());
    };
    attack.run(task());
}

TEST_CASE("hostile peer: one that says good-bye and stays is not used for what is new")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        CHECK(co_await attack.send(frame({.type = FrameHeader::Type::go_away})));
        co_await sleep_for(attack.peer_env, 1s);
        auto const peer = attack.host->connections().at(0).peer;
        auto const opened = co_await attack.host->open_stream(peer, "/test/read/1", attack.host_env.deadline_in(1s));
        CHECK(opened.error().kind == ErrorKind::unavailable);  // there is no address to dial
    };
    attack.run(task());
}

TEST_CASE("hostile peer: a link that stays half open in the middle of a stream is noticed")
{
    auto attack = Attack{};
    auto task = [&]() -> Task<> {
        co_await attack.shake_hands();
        CHECK(co_await attack.send(opening(1, proposal("/test/read/1"))));
        co_await sleep_for(attack.peer_env, 1s);
        CHECK(attack.serving == 1);
        attack.world.set_link("host", "peer", {.cut = true, .break_after = 1h});
        co_await sleep_for(attack.peer_env, 45s);
        CHECK(attack.host->connections().empty());
        CHECK(attack.serving == 0);
    };
    attack.run(task());
}
