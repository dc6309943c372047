#include <CLI/CLI.hpp>

#include "crypto/digest.h"
#include "discovery/discovery.h"
#include "libp2p-peer/peer.h"

using namespace plexus;
using namespace plexus::peer;
using host::Admission;
using host::Stream;

namespace {

constexpr std::size_t chunk = 64 * 1024;
constexpr std::size_t small_message = 4096;
constexpr auto step_limit = std::chrono::seconds(20);

struct Steps {
    std::size_t pings = 100;
    std::size_t echo_bytes = 64 << 20;
    std::size_t streams = 200;
};

struct Digests {
    crypto::Sha256 sent, received;
    std::size_t received_bytes = 0;
};

/// Deterministic bytes that are nowhere the same twice in a row.
void fill(Bytes& block, std::uint64_t& state)
{
    for (std::size_t at = 0; at + 8 <= block.size(); at += 8) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        store_little_endian(block.data() + at, state ^ (state >> 29));
    }
}

Task<> send_all(Stream& stream, std::size_t bytes, std::uint64_t seed, Digests& digests)
{
    auto block = Bytes(chunk);
    for (std::size_t sent = 0; sent < bytes;) {
        fill(block, seed);
        auto const part = ByteView(block).first(std::min(block.size(), bytes - sent));
        digests.sent.update(part);
        auto const written = co_await stream.write(part);
        if (!written) {
            co_return;
        }
        sent += part.size();
    }
    std::ignore = co_await stream.close_write();
}

Task<Result<void>> receive_all(Stream& stream, Digests& digests)
{
    auto buffer = Bytes(chunk);
    for (;;) {
        auto const count = co_await stream.read_some(buffer);
        if (!count) {
            co_return std::unexpected(count.error());
        }
        if (*count == 0) {
            co_return Result<void>{};
        }
        digests.received.update(ByteView(buffer).first(*count));
        digests.received_bytes += *count;
    }
}

class Dialer {
public:
    Dialer(Peer& peer, Steps steps) : peer_(peer), steps_(steps) {}

    Task<Result<void>> run(std::string address)
    {
        auto const target = parse_target(address);
        if (!target) {
            co_return std::unexpected(target.error());
        }
        target_ = target->peer;
        auto const start = now();
        auto const connected = co_await host().connect(target->peer, {target->address}, soon());
        if (!connected) {
            co_return connected;
        }
        print_line({{"step", "connect"}, {"milliseconds", seconds(now() - start) * 1000}});
        auto done = co_await identify();
        if (done) {
            done = co_await ping();
        }
        if (done) {
            done = co_await echo();
        }
        if (done) {
            done = co_await streams();
        }
        co_return done;
    }

private:
    host::Host& host() { return peer_.host(); }
    Time now() { return peer_.env().now(); }
    Deadline soon() { return peer_.env().deadline_in(step_limit); }

    Task<Result<void>> identify()
    {
        for (auto const deadline = soon(); !deadline.passed(now());) {
            auto const connections = host().connections();
            if (connections.empty()) {
                co_return fail(ErrorKind::closed, "the connection was lost before identify");
            }
            if (!connections.front().agent.empty()) {
                print_line({{"step", "identify"}, {"agent", connections.front().agent}});
                co_return Result<void>{};
            }
            co_await sleep_for(peer_.env(), std::chrono::milliseconds(1));
        }
        co_return fail(ErrorKind::timed_out, "no identify");
    }

    Task<Result<void>> ping()
    {
        auto times = std::vector<double>{};
        for (std::size_t count = 0; count < steps_.pings; ++count) {
            auto const took = co_await host().ping(*target_, soon());
            if (!took) {
                co_return std::unexpected(took.error());
            }
            times.push_back(seconds(*took) * 1e6);
        }
        print_line({{"step", "ping"}, {"count", times.size()}, {"median_microseconds", median(times)}});
        co_return Result<void>{};
    }

    Task<Result<std::unique_ptr<Digests>>> exchange(std::size_t bytes, std::uint64_t seed)
    {
        auto const stream = co_await host().open_stream(*target_, echo_protocol, soon());
        if (!stream) {
            co_return std::unexpected(stream.error());
        }
        auto digests = std::make_unique<Digests>();
        auto sending = TaskScope(peer_.env().executor());
        sending.spawn("send", send_all(**stream, bytes, seed, *digests));
        auto const received = co_await with_deadline(peer_.env(), soon(), receive_all(**stream, *digests));
        co_await sending.join();
        if (!received) {
            co_return std::unexpected(received.error());
        }
        co_return digests;
    }

    Task<Result<void>> echo()
    {
        auto const start = now();
        auto const digests = co_await exchange(steps_.echo_bytes, 1);
        if (!digests) {
            co_return std::unexpected(digests.error());
        }
        auto const sent = (*digests)->sent.finish().text();
        auto const received = (*digests)->received.finish().text();
        print_line({{"step", "echo"}, {"bytes", (*digests)->received_bytes}, {"sent", sent}, {"received", received},
                    {"seconds", seconds(now() - start)}});
        if (sent != received) {
            co_return fail(ErrorKind::malformed, "the echo differs");
        }
        co_return Result<void>{};
    }

    Task<> one_of_many(std::size_t number, std::size_t& open, std::size_t& good)
    {
        ++open;
        auto const digests = co_await exchange(small_message, number);
        if (!digests) {
            print_line({{"stream", number}, {"error", digests.error().text}});
        } else if ((*digests)->received_bytes == small_message && (*digests)->sent.finish() == (*digests)->received.finish()) {
            ++good;
        }
        --open;
    }

    Task<Result<void>> streams()
    {
        auto scope = TaskScope(peer_.env().executor());
        std::size_t open = 0;
        std::size_t good = 0;
        for (std::size_t number = 0; number < steps_.streams; ++number) {
            scope.spawn("stream", one_of_many(number, open, good));
        }
        do {
            co_await sleep_for(peer_.env(), std::chrono::milliseconds(5));
        } while (open > 0);
        co_await scope.join();
        print_line({{"step", "streams"}, {"count", steps_.streams}, {"good", good}});
        if (good != steps_.streams) {
            co_return fail(ErrorKind::malformed, "{} of {} streams answered", good, steps_.streams);
        }
        co_return Result<void>{};
    }

    Peer& peer_;
    Steps steps_;
    std::optional<host::PeerId> target_;
};

/// Listens, and tells of everybody who is found by mDNS.
Task<Result<void>> find(Peer& peer, std::string address)
{
    auto options = discovery::Options{};
    options.addresses = [&] { return peer.host().listen_addresses(); };
    options.found = [](discovery::Neighbour const& neighbour) {
        auto addresses = boost::json::array{};
        for (auto const& each : neighbour.addresses) {
            addresses.emplace_back(each.text());
        }
        print_line({{"found", neighbour.peer.text()}, {"addresses", std::move(addresses)}});
    };
    auto discovery = discovery::Discovery(peer.env(), peer.host().local_peer(), std::move(options));
    auto const done = co_await peer.listen(std::move(address), [&] { discovery.start(); });
    co_await discovery.stop();
    co_return done;
}

}  // namespace

int main(int argc, char** argv)
{
    auto app = CLI::App{"A bare libp2p peer that other implementations are tested against."};
    auto address = std::string("/ip4/127.0.0.1/tcp/0");
    auto refuse = false;
    auto steps = Steps{};
    auto* const listen = app.add_subcommand("listen", "print the address, serve until SIGTERM");
    listen->add_option("address", address, "where to listen");
    listen->add_flag("--refuse", refuse, "refuse every peer after the handshake");
    auto* const find_others = app.add_subcommand("find", "listen, and print whom mDNS finds, until SIGTERM");
    find_others->add_option("address", address, "where to listen");
    auto* const dial = app.add_subcommand("dial", "connect, identify, ping, echo, many streams");
    dial->add_option("address", address, "whom to dial, with /p2p/")->required();
    dial->add_option("--pings", steps.pings);
    dial->add_option("--echo-bytes", steps.echo_bytes);
    dial->add_option("--streams", steps.streams);
    app.require_subcommand(1);
    CLI11_PARSE(app, argc, argv);

    auto peer = Peer(refuse);
    peer.host().handle(echo_protocol, Admission::member, serve_echo);
    if (*listen) {
        return peer.run(peer.listen(address));
    }
    if (*find_others) {
        return peer.run(find(peer, address));
    }
    auto dialer = Dialer(peer, steps);
    return peer.run(dialer.run(address));
}
