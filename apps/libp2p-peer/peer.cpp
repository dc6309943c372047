#include "libp2p-peer/peer.h"

#include <sys/resource.h>

#include <cstdio>

#include <boost/json/serialize.hpp>

namespace plexus::peer {

namespace {

constexpr std::size_t echo_chunk = 64 * 1024;

crypto::KeyPair fresh_key(Env& env)
{
    auto seed = crypto::Secret32{};
    env.random("identity").fill(seed.writable());
    return crypto::KeyPair(std::move(seed));
}

}  // namespace

Peer::Peer(bool refuse)
    : gater_(refuse), host_(host::make_host(env_, fresh_key(env_), gater_)), terminated_(env_.executor())
{
}

int Peer::run(Task<Result<void>> work)
{
    auto status = 1;
    auto scope = TaskScope(env_.executor());
    env_.on_termination([this] {
        terminate_ = true;
        terminated_.notify();
    });
    scope.spawn("work", run_and_stop(std::move(work), status));
    env_.run();
    return status;
}

Task<> Peer::run_and_stop(Task<Result<void>> work, int& status)
{
    auto const done = co_await std::move(work);
    if (!done) {
        print_line({{"error", done.error().text}});
    }
    co_await host_->stop();
    status = done ? 0 : 1;
    env_.stop();
}

Task<Result<void>> Peer::listen(std::string address, std::function<void()> then)
{
    auto const parsed = host::Multiaddr::from_text(address);
    if (!parsed) {
        co_return std::unexpected(parsed.error());
    }
    auto const bound = host_->listen(*parsed);
    if (!bound) {
        co_return std::unexpected(bound.error());
    }
    print_line({{"listening", bound->text() + "/p2p/" + host_->local_peer().text()}});
    then();
    while (!terminate_) {
        co_await terminated_.wait();
    }
    co_return Result<void>{};
}

Task<> serve_echo(std::unique_ptr<host::Stream> stream)
{
    auto buffer = Bytes(echo_chunk);
    for (;;) {
        auto const count = co_await stream->read_some(buffer);
        if (!count) {
            co_return;
        }
        if (*count == 0) {
            break;
        }
        auto const written = co_await stream->write(ByteView(buffer).first(*count));
        if (!written) {
            co_return;
        }
    }
    std::ignore = co_await stream->close_write();
}

Result<Target> parse_target(std::string_view text)
{
    auto const address = host::Multiaddr::from_text(text);
    if (!address) {
        return std::unexpected(address.error());
    }
    auto const peer = address->peer();
    if (!peer) {
        return fail(ErrorKind::malformed, "{} names no peer: it must end in /p2p/…", text);
    }
    return Target{*peer, *address};
}

void print_line(boost::json::object const& line)
{
    auto const text = boost::json::serialize(line);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
}

double seconds(Duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

double cpu_seconds()
{
    auto usage = rusage{};
    ::getrusage(RUSAGE_SELF, &usage);
    auto const of = [](timeval const& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
    return of(usage.ru_utime) + of(usage.ru_stime);
}

double median(std::vector<double> values)
{
    std::ranges::sort(values);
    return values.empty() ? 0 : values[values.size() / 2];
}

}  // namespace plexus::peer
