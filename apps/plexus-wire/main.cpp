#include <poll.h>

#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "base/real_env.h"
#include "plexus-wire/link.h"
#include "plexus-wire/tunnel.h"

using namespace plexus;
using namespace plexus::wire;

namespace {

constexpr std::size_t max_packet = 65536;
constexpr auto packets_a_turn = 64;

// Set by signals: USR1 cuts, USR2 mends, TERM and INT end.
volatile std::sig_atomic_t is_cut = 0;
volatile std::sig_atomic_t ended = 0;

struct Side {
    Tunnel tunnel;
    Link outgoing;  // from this side to the other
};

void carry(Side& from, Side& to, Env& env, MutableByteView buffer)
{
    for (auto count = 0; count < packets_a_turn; ++count) {
        auto const packet = from.tunnel.read(buffer);
        if (packet.empty()) {
            break;
        }
        from.outgoing.push(packet, env.now());
    }
    while (auto const due = from.outgoing.pop(env.now())) {
        to.tunnel.write(*due);
    }
}

/// Until a packet arrives or is due, or a signal comes.
void wait(Side const& left, Side const& right, Env& env, sigset_t const& unblocked)
{
    auto next = std::optional<Time>{};
    for (auto const due : {left.outgoing.next(), right.outgoing.next()}) {
        if (due && (!next || *due < *next)) {
            next = due;
        }
    }
    auto const left_over = next ? std::max(*next - env.now(), Duration::zero()) : Duration::zero();
    auto const whole = std::chrono::floor<std::chrono::seconds>(left_over);
    auto const limit = timespec{.tv_sec = whole.count(), .tv_nsec = (left_over - whole).count()};
    auto sources = std::array{pollfd{left.tunnel.descriptor(), POLLIN, 0}, pollfd{right.tunnel.descriptor(), POLLIN, 0}};
    ::ppoll(sources.data(), sources.size(), next ? &limit : nullptr, &unblocked);
}

void run(Side& left, Side& right, Env& env, sigset_t const& unblocked)
{
    auto buffer = Bytes(max_packet);
    while (ended == 0) {
        left.outgoing.cut(is_cut != 0);
        right.outgoing.cut(is_cut != 0);
        carry(left, right, env, buffer);
        carry(right, left, env, buffer);
        wait(left, right, env, unblocked);
    }
}

/// Signals come only while we wait. Gives the mask for that.
sigset_t take_signals()
{
    auto blocked = sigset_t{};
    auto before = sigset_t{};
    ::sigemptyset(&blocked);
    for (auto const signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
        ::sigaddset(&blocked, signal);
    }
    ::sigprocmask(SIG_BLOCK, &blocked, &before);
    std::signal(SIGUSR1, [](int) { is_cut = 1; });
    std::signal(SIGUSR2, [](int) { is_cut = 0; });
    std::signal(SIGTERM, [](int) { ended = 1; });
    std::signal(SIGINT, [](int) { ended = 1; });
    return before;
}

}  // namespace

int main(int argc, char** argv)
{
    auto app = CLI::App{"A link between two network namespaces: a TUN device in each, joined here. "
                        "SIGUSR1 cuts the link, SIGUSR2 mends it."};
    auto left = TunnelOptions{.address = "10.77.0.1/24"};
    auto right = TunnelOptions{.address = "10.77.0.2/24"};
    auto delay_milliseconds = 0.0;
    auto rate_megabits = 0.0;
    auto link = LinkOptions{};
    app.add_option("left", left.name_space, "namespace, as made by ip netns add")->required();
    app.add_option("right", right.name_space, "the other namespace")->required();
    app.add_option("--delay", delay_milliseconds, "milliseconds, each way");
    app.add_option("--rate", rate_megabits, "megabits a second, each way; 0: no limit");
    app.add_option("--loss", link.loss, "share of packets lost, 0 to 1")->check(CLI::Range(0.0, 1.0));
    app.add_option("--queue", link.queue_bytes, "bytes that may wait in front of the link");
    app.add_option("--seed", link.seed, "of the losses");
    app.add_option("--left-address", left.address);
    app.add_option("--right-address", right.address);
    app.add_option("--mtu", left.mtu);
    app.add_option("--congestion", left.congestion, "TCP congestion control in both namespaces");
    CLI11_PARSE(app, argc, argv);
    right.mtu = left.mtu;
    right.congestion = left.congestion;
    link.delay = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(delay_milliseconds));
    link.bits_per_second = static_cast<std::uint64_t>(rate_megabits * 1e6);

    auto const unblocked = take_signals();
    auto env = RealEnv{};
    auto first = Tunnel::open(left);
    auto second = first ? Tunnel::open(right) : Result<Tunnel>(std::unexpected(first.error()));
    if (!second) {
        fmt::print(stderr, "plexus-wire: {}\n", second.error().text);
        return 1;
    }
    auto left_side = Side{std::move(*first), Link(link)};
    ++link.seed;
    auto right_side = Side{std::move(*second), Link(link)};
    fmt::print("up\n");
    std::fflush(stdout);
    run(left_side, right_side, env, unblocked);
    fmt::print("dropped {} {}\n", left_side.outgoing.dropped(), right_side.outgoing.dropped());
    return 0;
}
