#include "membership/membership.h"

// Staying connected to every member.

namespace plexus::membership {

using host::Admission;

namespace {

constexpr auto dial_limit = std::chrono::seconds(10);
constexpr auto first_pause = std::chrono::seconds(1);
constexpr auto longest_pause = std::chrono::seconds(60);
constexpr auto save_pause = std::chrono::seconds(5);

}  // namespace

bool Membership::is_connected(PeerId const& peer) const
{
    return std::ranges::any_of(host_->connections(), [&](host::ConnectionInfo const& connection) {
        return connection.peer == peer && connection.admission == Admission::member &&
               connection.use == host::ConnectionUse::main;
    });
}

void Membership::Retry::hasten(Time now)
{
    pause = Duration::zero();
    due = std::min(due, std::max(now, begun + first_pause));
}

void Membership::heard_of(PeerId const& device, std::vector<host::Multiaddr> const& addresses)
{
    if (device == self_ || !log_.members().contains(device)) {
        return;
    }
    hear_of({.device = device, .addresses = addresses});
    retries_[device].hasten(env_.now());
    wake_.notify();
}

void Membership::try_again()
{
    for (auto& [device, retry] : retries_) {
        retry.hasten(env_.now());
    }
    wake_.notify();
}

Task<> Membership::keep_in_touch()
{
    for (;;) {
        if (!is_saved_) {
            save_log();
        }
        auto const due = dial_those_due();
        auto const next = is_saved_ ? due : std::min(due, env_.now() + save_pause);
        auto const timer = env_.start_timer(next, [this] { wake_.notify(); });
        struct AtEnd {
            ~AtEnd() { env.cancel_timer(timer); }
            Env& env;
            Env::TimerId timer;
        } const at_end{env_, timer};
        co_await wake_.wait();
    }
}

/// Begins to dial members whose time has come; gives the next time to look.
Time Membership::dial_those_due()
{
    auto const now = env_.now();
    auto next = now + longest_pause;
    for (auto const& [device, standing] : log_.members()) {
        if (device == self_ || !log_.members().contains(self_) || is_connected(device)) {
            continue;
        }
        auto& retry = retries_[device];
        if (retry.is_dialling) {
            continue;
        }
        if (retry.due > now) {
            next = std::min(next, retry.due);
            continue;
        }
        retry.is_dialling = true;
        retry.begun = now;
        tasks_.spawn("dial " + device.short_text(), dial(device));
    }
    return next;
}

Task<> Membership::dial(PeerId peer)
{
    auto const addresses = host_->remembered_addresses(peer);
    std::ignore = co_await host_->connect(peer, addresses, env_.deadline_in(dial_limit));
    auto& retry = retries_[peer];
    retry.is_dialling = false;
    // A connection proves nothing yet: the other side may not count us as a member. An exchange of logs does.
    retry.pause = std::clamp<Duration>(retry.pause * 2, first_pause, longest_pause);
    auto const jitter = Duration(env_.random("redial").below(static_cast<std::uint64_t>(retry.pause.count()) / 2));
    retry.due = env_.now() + retry.pause - jitter;
    wake_.notify();
}

}  // namespace plexus::membership
