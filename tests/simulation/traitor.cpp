#include "simulation/traitor.h"

#include "catalog/snapshot.h"
#include "membership/messages.h"
#include "scheduling/task_message.h"
#include "stream/messages.h"

namespace plexus::simulation {

using namespace std::chrono_literals;
using namespace scheduling;

namespace {

constexpr auto patience = 5s;
constexpr std::size_t flood_streams = 40;

membership::Log log_of(sim::SimEnv& env)
{
    auto const bytes = env.disk().read_file("/data/membership.log", membership::max_log_bytes + 64);
    return membership::Log::decode(bytes.value()).value();
}

}  // namespace

Traitor::Traitor(sim::SimEnv& env, crypto::KeyPair key, std::vector<ModelFile> const& models, PeerId stranger,
                 Findings& findings)
    : env_(env), key_(std::move(key)), models_(models), stranger_(std::move(stranger)), findings_(findings),
      host_(host::make_host(env_, key_, gater_)), log_(log_of(env))
{
    std::ignore = host_->listen(Multiaddr::from_tcp({env.address(), SimulatedDevice::port}));
    auto const member = host::Admission::member;
    host_->handle(std::string(task_protocol), member, [this](auto stream) { return serve_task(std::move(stream)); });
    host_->handle(std::string(catalog::catalog_protocol), member,
                  [this](auto stream) { return serve_nonsense(std::move(stream)); });
    host_->handle(membership::membership_protocol, member,
                  [this](auto stream) { return serve_nonsense(std::move(stream)); });
}

Task<> Traitor::stop()
{
    co_await host_->stop();
}

Task<> Traitor::attack(Stranger::Victim victim)
{
    host_->remember_addresses(victim.id, {victim.address});
    switch (env_.random("attack").below(5)) {
    case 0: co_await send_nonsense(victim); break;
    case 1: co_await send_forged_log(victim); break;
    case 2: co_await flood(victim); break;
    case 3: co_await send_false_catalog(victim); break;
    default: host_->disconnect(victim.id); break;
    }
}

/// Opens a stream, sends the bytes, stays for a while, lets go.
Task<> Traitor::say(Stranger::Victim victim, std::string protocol, Bytes bytes, Duration stay)
{
    auto opened = co_await host_->open_stream(victim.id, std::move(protocol), env_.deadline_in(patience));
    if (!opened) {
        co_return;
    }
    auto const written = co_await with_deadline(env_, env_.deadline_in(patience), (*opened)->write(bytes));
    if (written) {
        co_await sleep_for(env_, stay);
    }
    (*opened)->reset();
}

Task<> Traitor::send_nonsense(Stranger::Victim victim)
{
    auto& random = env_.random("attack");
    auto names = member_protocols();
    names.emplace_back(membership::pairing_protocol);
    auto const protocol = names[random.below(names.size())];
    co_await say(victim, protocol, nonsense(random), Duration(1ms) * static_cast<std::int64_t>(random.below(2000)));
}

/// Entries that this member may not write, or that are not whole.
Bytes Traitor::forged_entries()
{
    auto& random = env_.random("attack");
    auto message = membership::SyncMessage{.mesh = log_.mesh(), .heads = log_.heads(), .entries = {}, .hints = {}};
    auto body = membership::EntryBody{.operation = membership::Operation::add,
                                      .parents = log_.heads(),
                                      .signer = id(),
                                      .time = env_.wall_now(),
                                      .device = stranger_,
                                      .role = membership::Role::owner,
                                      .name = "friend",
                                      .nonce = {}};
    auto const kind = random.below(4);
    if (kind == 1) {
        body.operation = membership::Operation::revoke;
        body.device = log_.missing_from({}).front()->body.signer;
        body.name.clear();
        body.role = {};
    }
    auto entry = membership::sign_entry(key_, std::move(body));
    if (kind == 2) {
        entry.bytes.back() ^= std::byte{1};
    }
    message.entries.push_back(kind == 3 ? membership::Log::found(key_, "mine", env_.wall_now(), Bytes(16)).missing_from({})[0]->bytes
                                        : entry.bytes);
    for (auto const& known : log_.missing_from({})) {
        // Wrong addresses for the others, too.
        auto const nowhere = Multiaddr::from_tcp({asio::ip::make_address("10.0.0.250"), 1});
        message.hints.push_back({.device = known->body.device, .addresses = {nowhere}});
    }
    return encode(message);
}

Task<> Traitor::send_forged_log(Stranger::Victim victim)
{
    co_await say(victim, membership::membership_protocol, stream::frame_message(forged_entries()), 500ms);
}

Bytes Traitor::false_snapshot(std::uint64_t sequence)
{
    auto snapshot = catalog::Snapshot{};
    snapshot.boot_epoch = 1 + env_.random("attack").next() / 2;
    snapshot.sequence = sequence;
    snapshot.version = "9.9.9";
    for (auto const& model : models_) {
        auto held = catalog::Model{};
        held.digest = model.digest;
        held.names = {model.name};
        held.size_bytes = model.bytes.size();
        held.speed = {.prefill = {1e9, 1000}, .decode = {1e9, 1000}};
        snapshot.models.push_back(std::move(held));
    }
    return catalog::encode(snapshot);
}

/// Says that it is the fastest of all.
Task<> Traitor::send_false_catalog(Stranger::Victim victim)
{
    auto const bytes = stream::frame_message(false_snapshot(1));
    co_await say(victim, std::string(catalog::catalog_protocol), bytes, 8s);
}

/// Many tasks at once, whose answers it does not read.
Task<> Traitor::flood(Stranger::Victim victim)
{
    auto& random = env_.random("attack");
    auto streams = std::vector<std::unique_ptr<host::Stream>>{};
    for (std::size_t count = 0; count < flood_streams; ++count) {
        auto opened = co_await host_->open_stream(victim.id, std::string(task_protocol), env_.deadline_in(patience));
        if (!opened) {
            break;
        }
        auto start = Start{};
        start.task_id = "flood";
        start.model = models_[random.below(models_.size())].digest;
        start.body = R"({"messages":[]})" + std::string(random.below(3000), ' ');
        auto const message = stream::frame_message(encode(start));
        auto const written = co_await with_deadline(env_, env_.deadline_in(patience), (*opened)->write(message));
        if (!written) {
            break;
        }
        streams.push_back(std::move(*opened));
    }
    co_await sleep_for(env_, 2s);
}

Task<> Traitor::serve_nonsense(std::unique_ptr<host::Stream> stream)
{
    auto& random = env_.random("attack");
    auto const bytes = nonsense(random);
    std::ignore = co_await with_deadline(env_, env_.deadline_in(patience), stream->write(bytes));
    co_await sleep_for(env_, Duration(1ms) * static_cast<std::int64_t>(random.below(3000)));
}

/// Takes tasks and breaks the protocol on the way: no text of it may be repeated, lost or out of order.
Task<> Traitor::serve_task(std::unique_ptr<host::Stream> stream)
{
    auto& random = env_.random("attack");
    auto const limit = env_.deadline_in(patience);
    auto const message = co_await with_deadline(env_, limit, stream::read_message(*stream, max_start_bytes));
    auto start = and_then(message, [](Bytes const& bytes) { return decode_start(bytes); });
    if (!start) {
        co_return;
    }
    auto const said = take_said(start->body);
    auto const parts = expected_parts(start->model, start->kind, start->body);
    auto first = Chunk{0, parts[said]};
    if (start->kind == inference::TaskKind::chat && said + 1 < parts.size()) {
        first.tokens = {static_cast<std::uint32_t>(said)};
    }
    auto replies = std::vector<Bytes>{};
    auto const kind = random.below(6);
    if (kind != 0) {
        replies.push_back(encode(Reply(Accepted{})));
    }
    replies.push_back(encode(Reply(first)));
    switch (kind) {
    case 1: replies.push_back(encode(Reply(first))); break;
    case 2: replies.push_back(encode(Reply(Chunk{2, parts[parts.size() / 2]}))); break;
    case 3: replies.push_back(random.bytes(50)); break;
    case 4: replies.push_back(encode(Reply(Accepted{}))); break;
    default: break;
    }
    for (auto const& reply : replies) {
        auto const written = co_await with_deadline(env_, limit, stream::write_message(*stream, reply));
        if (!written) {
            co_return;
        }
    }
    co_await sleep_for(env_, Duration(1ms) * static_cast<std::int64_t>(random.below(4000)));
}

}  // namespace plexus::simulation
