#include "base/log.h"
#include "membership/parts.h"

// The log between members: /plexus/membership/1.

namespace plexus::membership {

using host::Admission;

namespace {

constexpr auto first_exchange_pause = std::chrono::milliseconds(250);  // after one that failed
constexpr auto longest_exchange_pause = std::chrono::seconds(8);
constexpr std::size_t max_served_exchanges = 4;  // of one member: each may hold a message of max_sync_bytes
constexpr std::size_t best_addresses = 4;        // that no hint can push back

/// A connection that was lost is nobody's fault.
void tell_of_breach(PeerId const& peer, Error const& error)
{
    auto const faults = {ErrorKind::malformed, ErrorKind::too_large, ErrorKind::not_allowed};
    if (std::ranges::find(faults, error.kind) != faults.end()) {
        log::warning("a member broke the exchange of membership logs",
                     {{"peer", peer.short_text()}, {"why", error.text}});
    }
}

}  // namespace

void add_missing(SyncMessage& message, Log const& log, std::vector<EntryId> const& known)
{
    for (auto const* entry : log.missing_from(known)) {
        message.entries.push_back(entry->bytes);
    }
}

std::vector<AddressHint> Membership::hints() const
{
    auto list = std::vector<AddressHint>{};
    for (auto const& [device, standing] : log_.members()) {
        auto addresses = device == self_ ? host_->listen_addresses() : host_->remembered_addresses(device);
        addresses.resize(std::min(addresses.size(), max_addresses_per_device));
        if (!addresses.empty() && list.size() < max_hints) {
            list.push_back({.device = device, .addresses = std::move(addresses)});
        }
    }
    return list;
}

SyncMessage Membership::greeting() const
{
    return {.mesh = log_.mesh(), .heads = log_.heads(), .entries = {}, .hints = hints()};
}

/// Takes what is new and lets it count, even if the rest is broken. Errors: those of a peer that breaks the rules.
Result<void> Membership::take(SyncMessage const& message, PeerId const& from)
{
    if (message.mesh && *message.mesh != log_.mesh()) {
        return fail(ErrorKind::not_allowed, "a member speaks of another mesh");
    }
    auto const size = log_.size();
    auto const taken = take_entries(message.entries);
    for (auto const& hint : message.hints) {
        if (taken && hint.device != self_ && log_.members().contains(hint.device)) {
            hear_of(hint);
        }
    }
    if (log_.size() > size) {
        changed(from);
    }
    return taken;
}

/// What others say of a device comes behind what is known best: where it was reached, and what it says itself.
void Membership::hear_of(AddressHint const& hint)
{
    auto addresses = host_->remembered_addresses(hint.device);
    auto const place = addresses.begin() + static_cast<std::ptrdiff_t>(std::min(addresses.size(), best_addresses));
    addresses.insert(place, hint.addresses.begin(), hint.addresses.end());
    host_->remember_addresses(hint.device, std::move(addresses));
}

Result<void> Membership::take_entries(std::vector<Bytes> const& entries)
{
    for (auto const& bytes : entries) {
        auto taken = and_then(parse_entry(bytes), [this](Entry entry) { return log_.insert(std::move(entry)); });
        if (!taken && taken.error().kind != ErrorKind::unavailable && taken.error().kind != ErrorKind::not_found) {
            return std::unexpected(taken.error());
        }
    }
    return {};
}

/// What cannot be written now is tried again by keep_in_touch.
void Membership::save_log()
{
    auto const saved = save(log_);
    is_saved_ = saved.has_value();
    if (!saved) {
        log::error("the membership log could not be written", {{"why", saved.error().text}});
    }
}

/// Makes the new state last and known: on disk, at the door, to the others.
void Membership::changed(std::optional<PeerId> from)
{
    save_log();
    host_->reconsider();
    auto told = std::set<PeerId>{self_};
    if (from) {
        told.insert(*from);
    }
    for (auto const& connection : host_->connections()) {
        if (connection.admission == Admission::member && told.insert(connection.peer).second) {
            exchange_with(connection.peer);
        }
    }
    wake_.notify();
    for (auto const& action : on_change_) {
        action();
    }
}

void Membership::exchange_with(PeerId const& peer)
{
    auto& exchange = exchanges_[peer];
    if (exchange.is_running) {
        exchange.again = true;
        return;
    }
    exchange.is_running = true;
    tasks_.spawn("exchange membership with " + peer.short_text(), run_exchanges(peer));
}

Task<> Membership::run_exchanges(PeerId peer)
{
    auto pause = Duration(first_exchange_pause);
    do {
        exchanges_[peer].again = false;
        auto const done = co_await exchange_once(peer);
        if (done) {
            retries_.erase(peer);
            continue;
        }
        log::debug("no exchange of membership logs", {{"peer", peer.short_text()}, {"why", done.error().text}});
        if (is_connected(peer)) {
            exchanges_[peer].again = true;
            co_await sleep_for(env_, pause);
            pause = std::min<Duration>(pause * 2, longest_exchange_pause);
        }
    } while (exchanges_[peer].again && is_connected(peer));
    exchanges_.erase(peer);
    save_addresses();
}

Task<Result<void>> Membership::exchange_once(PeerId peer)
{
    auto const deadline = env_.deadline_in(step_limit);
    auto opened = co_await host_->open_stream(peer, membership_protocol, deadline);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto& stream = **opened;
    auto const first = greeting();
    auto const asked = co_await write_encoded(env_, stream, first, deadline);
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    auto const answer = co_await read_decoded(env_, stream, max_sync_bytes, deadline, decode_sync);
    auto const taken = and_then(answer, [&](SyncMessage const& message) { return take(message, peer); });
    if (!taken) {
        stream.reset();
        co_return taken;
    }
    auto last = SyncMessage{.mesh = log_.mesh(), .heads = {}, .entries = {}, .hints = {}};
    add_missing(last, log_, answer->heads);
    auto const told = co_await write_encoded(env_, stream, last, deadline);
    if (!told) {
        co_return std::unexpected(told.error());
    }
    co_return co_await stream.close_write();
}

Task<> Membership::serve_exchange(std::unique_ptr<host::Stream> stream)
{
    struct Served {
        std::map<PeerId, std::size_t>& counts;
        PeerId const peer;
        Served(std::map<PeerId, std::size_t>& all, PeerId from) : counts(all), peer(std::move(from)) { ++counts[peer]; }
        ~Served()
        {
            if (--counts[peer] == 0) {
                counts.erase(peer);
            }
        }
    };
    auto const served = Served(served_, stream->peer());
    if (served_[served.peer] > max_served_exchanges) {
        stream->reset();
        co_return;
    }
    auto const done = co_await serve_steps(*stream);
    if (!done) {
        tell_of_breach(served.peer, done.error());
        stream->reset();
    }
}

Task<Result<void>> Membership::serve_steps(host::Stream& stream)
{
    auto const deadline = env_.deadline_in(step_limit);
    for (auto step = 0; step < 2; ++step) {
        auto const message = co_await read_decoded(env_, stream, max_sync_bytes, deadline, decode_sync);
        auto const taken = and_then(message, [&](SyncMessage const& content) { return take(content, stream.peer()); });
        if (!taken) {
            co_return taken;
        }
        if (step == 0) {
            auto answer = greeting();
            add_missing(answer, log_, message->heads);
            auto const told = co_await write_encoded(env_, stream, answer, deadline);
            if (!told) {
                co_return told;
            }
        }
    }
    co_return co_await stream.close_write();
}

}  // namespace plexus::membership
