#include <CLI/CLI.hpp>

#include "libp2p-peer/peer.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::peer;
using host::Admission;
using host::Stream;

namespace {

/// libp2p/specs perf/perf.md: the client says as u64 big-endian how many bytes it wants, uploads, closes; the server
/// reads to the end, then writes so many.
constexpr auto perf_protocol = "/perf/1.0.0";
constexpr std::size_t block_size = 64 * 1024;
constexpr std::size_t warm_up_bytes = 32 << 20;
constexpr auto transfer_limit = std::chrono::minutes(5);

Task<Result<void>> send_bytes(Stream& stream, std::uint64_t count)
{
    auto const block = Bytes(block_size);
    while (count > 0) {
        auto const part = ByteView(block).first(std::min<std::uint64_t>(count, block.size()));
        auto const written = co_await stream.write(part);
        if (!written) {
            co_return written;
        }
        count -= part.size();
    }
    co_return co_await stream.close_write();
}

Task<Result<std::uint64_t>> count_to_end(Stream& stream)
{
    auto buffer = Bytes(4 * block_size);
    std::uint64_t total = 0;
    for (;;) {
        auto const count = co_await stream.read_some(buffer);
        if (!count) {
            co_return std::unexpected(count.error());
        }
        if (*count == 0) {
            co_return total;
        }
        total += *count;
    }
}

Task<> serve_perf(std::unique_ptr<Stream> stream)
{
    auto wanted = std::array<std::byte, 8>{};
    auto const asked = co_await stream::read_exactly(*stream, wanted);
    if (!asked) {
        co_return;
    }
    auto const uploaded = co_await count_to_end(*stream);
    if (uploaded) {
        std::ignore = co_await send_bytes(*stream, load_big_endian<std::uint64_t>(wanted.data()));
    }
}

class Client {
public:
    Client(Peer& peer, Target target) : peer_(peer), target_(std::move(target)) {}

    Task<Result<void>> bulk(std::uint64_t upload, std::uint64_t download)
    {
        auto const connected = co_await host().connect(target_.peer, {target_.address}, soon());
        if (!connected) {
            co_return connected;
        }
        auto done = co_await exchange(warm_up_bytes, warm_up_bytes);
        print_line({{"warm", done.has_value()}});
        if (done && upload > 0) {
            done = co_await measured("upload", upload, 0);
        }
        if (done && download > 0) {
            done = co_await measured("download", 0, download);
        }
        co_return done;
    }

    /// A new connection and one byte each way, `count` times.
    Task<Result<void>> first_byte(std::size_t count)
    {
        for (std::size_t number = 0; number < count; ++number) {
            auto const start = now();
            auto const connected = co_await host().connect(target_.peer, {target_.address}, soon());
            if (!connected) {
                co_return connected;
            }
            auto const done = co_await echo_byte();
            if (!done) {
                co_return done;
            }
            print_line({{"first_byte_milliseconds", seconds(now() - start) * 1000}});
            host().disconnect(target_.peer);
            while (!host().connections().empty()) {
                co_await sleep_for(peer_.env(), std::chrono::milliseconds(5));
            }
        }
        co_return Result<void>{};
    }

private:
    host::Host& host() { return peer_.host(); }
    Time now() { return peer_.env().now(); }
    Deadline soon() { return peer_.env().deadline_in(transfer_limit); }

    Task<Result<void>> echo_byte()
    {
        auto const stream = co_await host().open_stream(target_.peer, echo_protocol, soon());
        if (!stream) {
            co_return std::unexpected(stream.error());
        }
        auto byte = std::array{std::byte{1}};
        auto const sent = co_await (*stream)->write(byte);
        if (!sent) {
            co_return sent;
        }
        co_return co_await stream::read_exactly(**stream, byte);
    }

    Task<Result<void>> exchange(std::uint64_t upload, std::uint64_t download)
    {
        auto const stream = co_await host().open_stream(target_.peer, perf_protocol, soon());
        if (!stream) {
            co_return std::unexpected(stream.error());
        }
        auto head = Bytes(8 + std::min<std::uint64_t>(upload, block_size));
        store_big_endian(head.data(), download);
        auto const asked = co_await (*stream)->write(head);
        if (!asked) {
            co_return asked;
        }
        auto const sent = co_await send_bytes(**stream, upload - (head.size() - 8));
        if (!sent) {
            co_return sent;
        }
        auto const received = co_await count_to_end(**stream);
        if (!received) {
            co_return std::unexpected(received.error());
        }
        if (*received != download) {
            co_return fail(ErrorKind::malformed, "{} bytes came, {} were asked for", *received, download);
        }
        co_return Result<void>{};
    }

    Task<Result<void>> measured(std::string direction, std::uint64_t upload, std::uint64_t download)
    {
        auto const start = now();
        auto const cpu = cpu_seconds();
        auto const done = co_await exchange(upload, download);
        if (done) {
            print_line({{"direction", direction}, {"bytes", upload + download}, {"seconds", seconds(now() - start)},
                        {"cpu_seconds", cpu_seconds() - cpu}});
        }
        co_return done;
    }

    Peer& peer_;
    Target target_;
};

}  // namespace

int main(int argc, char** argv)
{
    auto app = CLI::App{"The libp2p perf protocol over TCP, Noise and Yamux. Serves everybody: for measuring only."};
    auto address = std::string("/ip4/127.0.0.1/tcp/0");
    std::uint64_t upload = 0;
    std::uint64_t download = 0;
    std::size_t count = 1;
    auto* const listen = app.add_subcommand("listen", "print the address, serve until SIGTERM");
    listen->add_option("address", address, "where to listen");
    auto* const bulk = app.add_subcommand("bulk", "one stream after a warm-up, each direction by itself");
    bulk->add_option("address", address, "whom to dial, with /p2p/")->required();
    bulk->add_option("--upload", upload, "bytes");
    bulk->add_option("--download", download, "bytes");
    auto* const first = app.add_subcommand("first-byte", "connect and exchange one byte");
    first->add_option("address", address, "whom to dial, with /p2p/")->required();
    first->add_option("--count", count);
    app.require_subcommand(1);
    CLI11_PARSE(app, argc, argv);

    auto peer = Peer{};
    if (*listen) {
        peer.host().handle(perf_protocol, Admission::member, serve_perf);
        peer.host().handle(echo_protocol, Admission::member, serve_echo);
        return peer.run(peer.listen(address));
    }
    auto const target = parse_target(address);
    if (!target) {
        print_line({{"error", target.error().text}});
        return 2;
    }
    auto client = Client(peer, *target);
    return peer.run(*bulk ? client.bulk(upload, download) : client.first_byte(count));
}
