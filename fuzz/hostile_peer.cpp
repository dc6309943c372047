#include "base/log.h"
#include "base/sim_env.h"
#include "host/host.h"
#include "muxer/yamux_frame.h"
#include "negotiation/multistream.h"
#include "security/noise.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::host;
using namespace std::chrono_literals;

namespace {

/// Smaller than a host's own, so that a few bytes of script reach them.
Limits small_limits()
{
    return {.connections = 3,
            .connections_per_peer = 2,
            .pending_handshakes = 3,
            .pending_handshakes_per_address = 2,
            .inbound_streams_per_connection = 8,
            .streams = 12,
            .memory_bytes_per_peer = 1 << 20,
            .memory_bytes = 1 << 20};
}

constexpr std::size_t max_script = 2048;
constexpr std::size_t max_sockets = 4;
constexpr std::size_t max_answer_bytes = 8 << 20;

crypto::Secret32 secret(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::Secret32(std::span<std::byte const, 32>(bytes));
}

struct ScriptedGater : Gater {
    Admission admission = Admission::member;
    bool allow_address(Endpoint const&, Direction) override { return true; }
    Admission admit(PeerId const&, Direction) override { return admission; }
};

/// The fuzzer's bytes, one decision after another.
struct Script {
    ByteView rest;

    std::size_t take()
    {
        if (rest.empty()) {
            return 0;
        }
        auto const value = std::to_integer<std::size_t>(rest.front());
        rest = rest.subspan(1);
        return value;
    }
    Bytes bytes(std::size_t count)
    {
        auto const part = rest.first(std::min(count, rest.size()));
        rest = rest.subspan(part.size());
        return to_bytes(part);
    }
};

/// One raw connection of the hostile peer, with as much of Noise as the script lets it do.
struct Wire {
    std::unique_ptr<Socket> socket;
    std::optional<security::SecureSession> session;
    Bytes received;
    std::size_t plaintext = 0;  ///< bytes that the host sent inside the encryption
};

struct World {
    sim::World world{1};
    sim::SimEnv& host_env = world.add_device("host");
    sim::SimEnv& peer_env = world.add_device("peer");
    ScriptedGater gater;
    Limits limits = small_limits();
    std::unique_ptr<Host> host;
    crypto::KeyPair identity{secret(9)};
    std::vector<std::unique_ptr<Wire>> wires;
    std::size_t served = 0;      ///< handlers that are running
    std::size_t most_served = 0;
    TaskScope readers{world.executor()};

    World() : host(make_host(host_env, crypto::KeyPair(secret(2)), gater, options()))
    {
        PLEXUS_ASSERT(host->listen(Multiaddr::from_tcp({host_env.address(), 4001})));
        host->handle("/test/echo/1", Admission::member, [this](auto stream) { return echo(std::move(stream)); });
        host->handle("/test/lazy/1", Admission::member, [this](auto stream) { return hold(std::move(stream)); });
        host->handle("/test/pair/1", Admission::pairing, [this](auto stream) { return message(std::move(stream)); });
    }

    Options options() const
    {
        auto made = Options{};
        made.limits = limits;
        return made;
    }

    struct Serving {
        World& world;
        explicit Serving(World& owner) : world(owner)
        {
            world.most_served = std::max(world.most_served, ++world.served);
        }
        ~Serving() { --world.served; }
    };

    Task<> echo(std::unique_ptr<Stream> stream)
    {
        auto const serving = Serving(*this);
        auto buffer = Bytes(5000);
        for (;;) {
            auto const count = co_await stream->read_some(buffer);
            if (!count || *count == 0) {
                co_return;
            }
            auto const written = co_await stream->write(ByteView(buffer).first(*count));
            if (!written) {
                co_return;
            }
        }
    }

    Task<> hold(std::unique_ptr<Stream> stream)
    {
        auto const serving = Serving(*this);
        co_await sleep_for(host_env, 20s);
        stream->reset();
    }

    Task<> message(std::unique_ptr<Stream> stream)
    {
        auto const serving = Serving(*this);
        auto const read = co_await stream::read_message(*stream, 1000);
        if (read) {
            std::ignore = co_await stream::write_message(*stream, *read);
            std::ignore = co_await stream->close_write();
        }
    }

    /// What must hold after every action.
    void check() const
    {
        auto const connections = host->connections();
        PLEXUS_ASSERT(connections.size() <= limits.connections_per_peer);
        std::size_t streams = 0;
        for (auto const& connection : connections) {
            PLEXUS_ASSERT(connection.admission != Admission::refused);
            PLEXUS_ASSERT(connection.agent.size() <= 256);
            streams += connection.streams;
        }
        PLEXUS_ASSERT(streams <= limits.streams);
        PLEXUS_ASSERT(most_served <= limits.streams);
        PLEXUS_ASSERT(host->remembered_addresses(peer()).size() <= 32);
    }

    PeerId peer() const { return PeerId::from_public_key(identity.public_key().encode()).value(); }
};

Task<> send(Wire& wire, Bytes bytes)
{
    std::ignore = co_await wire.socket->write(bytes);
}

/// Encrypts and sends; raw before the handshake is done.
Task<> send_inside(Wire& wire, Bytes plaintext)
{
    while (wire.session && !plaintext.empty()) {
        auto const count = std::min(plaintext.size(), security::max_plaintext);
        auto frame = Bytes(security::frame_header + count + security::frame_tag);
        std::copy_n(plaintext.begin(), count, frame.begin() + security::frame_header);
        wire.session->sealer.seal(frame);
        plaintext.erase(plaintext.begin(), plaintext.begin() + static_cast<std::ptrdiff_t>(count));
        auto const sent = co_await wire.socket->write(frame);
        if (!sent) {
            co_return;
        }
    }
}

/// Takes what the host says, and counts it.
Task<> listen_to(Wire& wire)
{
    auto buffer = Bytes(100'000);
    for (;;) {
        auto const count = co_await wire.socket->read_some(buffer);
        if (!count || *count == 0) {
            co_return;
        }
        append(wire.received, ByteView(buffer).first(*count));
        while (wire.session) {
            auto const opened = wire.session->opener.open(wire.received);
            PLEXUS_ASSERT(opened);
            if (!*opened) {
                break;
            }
            wire.plaintext += (*opened)->plaintext.size();
            PLEXUS_ASSERT(wire.plaintext <= max_answer_bytes);
            wire.received.erase(wire.received.begin(),
                                wire.received.begin() + static_cast<std::ptrdiff_t>((*opened)->frame_bytes));
        }
    }
}

/// The dialer's part of the handshake, ended after `flights` of its three steps; `damage` changes a byte of the last.
Task<> shake_hands(World& world, Wire& wire, std::size_t flights, std::uint8_t damage, bool early_muxer)
{
    auto negotiation = negotiation::Initiator({"/noise"});
    auto handshake = security::NoiseHandshake(
        world.identity, {.role = security::Role::initiator,
                         .muxers = early_muxer ? std::vector<std::string>{"/yamux/1.0.0"} : std::vector<std::string>{},
                         .static_secret = secret(10),
                         .ephemeral_secret = secret(11)});
    co_await send(wire, concatenate({negotiation.start(), handshake.take_output()}));
    if (flights == 1) {
        co_return;
    }
    auto buffer = Bytes(4096);
    while (!handshake.done()) {
        auto const count = co_await wire.socket->read_some(buffer);
        if (!count || *count == 0) {
            co_return;
        }
        auto rest = to_bytes(ByteView(buffer).first(*count));
        if (!negotiation.done()) {
            PLEXUS_ASSERT(negotiation.push(rest));
            if (!negotiation.done()) {
                continue;
            }
            rest = negotiation.take_rest();
        }
        PLEXUS_ASSERT(handshake.push(rest));
    }
    auto last = handshake.take_output();
    last[last.size() / 2] ^= static_cast<std::byte>(damage);
    if (flights == 2) {
        last.resize(last.size() / 2);
    }
    co_await send(wire, std::move(last));
    if (flights > 2 && damage == 0) {
        wire.session = handshake.take_session();
        wire.received = handshake.take_rest();
    }
}

Bytes muxer_frame(Script& script)
{
    constexpr auto lengths = std::array<std::uint32_t, 8>{0, 1, 20, 1000, 65'536, 262'144, 262'145, 0xFFFF'FFFF};
    auto const kind = script.take();
    auto const header = muxer::FrameHeader{.type = static_cast<muxer::FrameHeader::Type>(kind % 4),
                                           .flags = static_cast<std::uint16_t>(kind / 4 % 16),
                                           .stream = static_cast<muxer::StreamId>(script.take() % 64),
                                           .length = lengths[script.take() % lengths.size()]};
    auto bytes = to_bytes(ByteView(header.encode()));
    if (header.type == muxer::FrameHeader::Type::data && header.length <= 262'144) {
        bytes.resize(bytes.size() + header.length, std::byte{'d'});
    }
    return bytes;
}

/// Opens a stream, proposes, and sends `body` behind.
Bytes opening(muxer::StreamId stream, std::string_view protocol, ByteView body, bool ends)
{
    auto const bytes = concatenate(
        {negotiation::encode_frame(negotiation::header), negotiation::encode_frame(protocol), body});
    auto const flags = muxer::FrameHeader::syn | (ends ? muxer::FrameHeader::fin : 0);
    auto const header = muxer::FrameHeader{.flags = static_cast<std::uint16_t>(flags),
                                           .stream = stream,
                                           .length = static_cast<std::uint32_t>(bytes.size())};
    return concatenate({ByteView(header.encode()), bytes});
}

Bytes proposal(Script& script)
{
    constexpr auto names = std::array<std::string_view, 8>{
        "/test/echo/1",        "/test/lazy/1",     "/test/pair/1", "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/nothing",     "ls"};
    auto const what = script.take();
    auto const stream = static_cast<muxer::StreamId>(script.take() % 64);
    auto const body = script.bytes(script.take() % 64);
    return opening(stream, names[what % names.size()], body, what >= 128);
}

/// A burst of one thing: streams that are opened and reset, pings, empty frames, credit.
Bytes storm(Script& script)
{
    auto const kind = script.take() % 4;
    auto const first = static_cast<muxer::StreamId>(1 + 2 * script.take());
    auto bytes = Bytes{};
    for (auto count = 0U; count < 300; ++count) {
        auto const id = first + 2 * count;
        using Frame = muxer::FrameHeader;
        switch (kind) {
        case 0:
            append(bytes, opening(id, "/test/echo/1", {}, false));
            append(bytes, Frame{.type = Frame::Type::window_update, .flags = Frame::rst, .stream = id}.encode());
            break;
        case 1: append(bytes, Frame{.type = Frame::Type::ping, .flags = Frame::syn, .length = count}.encode()); break;
        case 2: append(bytes, Frame{.flags = 0, .stream = first}.encode()); break;
        default: append(bytes, opening(id, "/test/lazy/1", {}, true)); break;
        }
    }
    return bytes;
}

Task<> connect(World& world, Script& script)
{
    if (world.wires.size() == max_sockets) {
        world.wires.front()->socket->reset();
        co_return;
    }
    auto socket = co_await world.peer_env.network().connect({world.host_env.address(), 4001},
                                                            world.peer_env.deadline_in(1s));
    if (!socket) {
        co_return;
    }
    world.wires.push_back(std::make_unique<Wire>(std::move(*socket)));
    auto& wire = *world.wires.back();
    auto const how = script.take();
    auto const flights = how % 8 == 0 ? 0U : how % 8 == 1 ? 1U : how % 8 == 2 ? 2U : 3U;
    auto const damage = how % 8 == 3 ? static_cast<std::uint8_t>(script.take()) : std::uint8_t{0};
    if (flights > 0) {
        // The host may refuse in the middle and say nothing.
        auto work = [](World& used, Wire& on, std::size_t steps, std::uint8_t mask, bool early) -> Task<Result<void>> {
            co_await shake_hands(used, on, steps, mask, early);
            co_return Result<void>{};
        };
        std::ignore = co_await with_deadline(world.peer_env, world.peer_env.deadline_in(2s),
                                             work(world, wire, flights, damage, how < 128));
    }
    if (script.take() % 4 != 0) {
        world.readers.spawn("reader", listen_to(wire));
    }
}

/// One thing on the latest connection. A write that the host does not take is given up.
Task<> act(World& world, Script& script)
{
    auto const action = script.take();
    if (world.wires.empty() || action % 16 == 0) {
        co_await connect(world, script);
        co_return;
    }
    auto& wire = *world.wires[world.wires.size() - 1 - action / 16 % world.wires.size()];
    auto sending = [](Wire& on, Bytes bytes, bool inside) -> Task<Result<void>> {
        if (inside) {
            co_await send_inside(on, std::move(bytes));
        } else {
            co_await send(on, std::move(bytes));
        }
        co_return Result<void>{};
    };
    auto const in_a_moment = world.peer_env.deadline_in(500ms);
    switch (action % 16) {
    case 1:
        std::ignore = co_await with_deadline(world.peer_env, in_a_moment,
                                             sending(wire, script.bytes(script.take()), false));
        break;
    case 2:
        std::ignore = co_await with_deadline(world.peer_env, in_a_moment,
                                             sending(wire, script.bytes(script.take()), true));
        break;
    case 3: wire.socket->reset(); break;
    case 4: std::ignore = co_await wire.socket->close_write(); break;
    case 5: co_await sleep_for(world.peer_env, std::chrono::milliseconds(script.take())); break;
    case 6: co_await sleep_for(world.peer_env, std::chrono::seconds(script.take() % 32)); break;
    case 7:
        std::ignore = co_await with_deadline(world.peer_env, in_a_moment, sending(wire, storm(script), true));
        break;
    case 8:
        world.gater.admission = static_cast<Admission>(script.take() % 3);
        world.host->reconsider();
        break;
    case 9: world.host->disconnect(world.peer()); break;
    case 10: {
        auto const negotiated = concatenate(
            {negotiation::encode_frame(negotiation::header),
             negotiation::encode_frame(script.take() % 4 == 0 ? "/mplex/6.7.0" : "/yamux/1.0.0")});
        std::ignore = co_await with_deadline(world.peer_env, in_a_moment, sending(wire, negotiated, true));
        break;
    }
    case 11:
    case 12:
        std::ignore = co_await with_deadline(world.peer_env, in_a_moment, sending(wire, proposal(script), true));
        break;
    default:
        std::ignore = co_await with_deadline(world.peer_env, in_a_moment, sending(wire, muxer_frame(script), true));
        break;
    }
}

Task<> play(World& world, Script script)
{
    world.gater.admission = static_cast<Admission>(script.take() % 3);
    auto const always_refused = world.gater.admission == Admission::refused;
    auto refused_so_far = always_refused;
    for (auto actions = 0; !script.rest.empty() && actions < 200; ++actions) {
        co_await act(world, script);
        co_await sleep_for(world.peer_env, 1ms);
        world.check();
        refused_so_far = refused_so_far && world.gater.admission == Admission::refused;
        PLEXUS_ASSERT(!refused_so_far || world.host->connections().empty());
    }
    co_await sleep_for(world.peer_env, 50ms);
    for (auto const& wire : world.wires) {
        // To who was refused from the beginning, nothing was ever said inside the encryption.
        PLEXUS_ASSERT(!refused_so_far || wire->plaintext == 0);
    }
    auto const before = world.world.now();
    co_await world.host->stop();
    PLEXUS_ASSERT(world.world.now() - before <= 15s);
    PLEXUS_ASSERT(world.host->connections().empty() && world.served == 0);
    for (auto const& wire : world.wires) {
        wire->socket->reset();
    }
    co_await world.readers.join();
}

}  // namespace

/// A hostile peer against a real host: whatever it sends, the limits hold, who is refused hears nothing, and the host
/// stops in time with all of its tasks ended.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    static auto const quiet = [] {
        log::set_level(log::Level::off);
        return true;
    }();
    std::ignore = quiet;
    auto world = World{};
    auto const script = Script{std::as_bytes(std::span(data, std::min(size, max_script)))};
    PLEXUS_ASSERT(world.world.run(play(world, script), 3h));
    return 0;
}
