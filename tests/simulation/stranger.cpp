#include "simulation/stranger.h"

#include "membership/invites.h"
#include "membership/membership.h"
#include "scheduling/scheduling.h"
#include "stream/messages.h"

namespace plexus::simulation {

using namespace std::chrono_literals;
using membership::PairingMessage;
using membership::PairingTranscript;

namespace {

constexpr auto patience = 5s;
constexpr std::size_t reply_limit = 1 << 20;

}  // namespace

crypto::KeyPair random_key(Env& env)
{
    auto seed = crypto::Secret32{};
    env.random("key").fill(seed.writable());
    return crypto::KeyPair(seed);
}

std::vector<std::string> const& member_protocols()
{
    static auto const names = std::vector<std::string>{
        membership::membership_protocol, std::string(catalog::catalog_protocol), std::string(scheduling::task_protocol),
        "/ipfs/id/1.0.0",                "/ipfs/id/push/1.0.0",                  "/ipfs/ping/1.0.0"};
    return names;
}

Bytes nonsense(Random& random)
{
    switch (random.below(4)) {
    case 0: return random.bytes(1 + random.below(2000));
    case 1: return stream::frame_message(random.bytes(random.below(500)));
    case 2: return to_bytes("\xff\xff\xff\xff\x7f");
    default: return Bytes(1 + random.below(40'000), std::byte{0xff});
    }
}

Stranger::Stranger(sim::World& world, std::string name, Findings& findings)
    : world_(world), findings_(findings), env_(world.add_device(std::move(name))),
      host_(host::make_host(env_, random_key(env_), gater_))
{
}

void Stranger::see_link(std::string const& text)
{
    if (auto link = membership::InviteLink::parse(text)) {
        links_.push_back(std::move(*link));
    }
}

Task<> Stranger::attack(Victim victim)
{
    host_->remember_addresses(victim.id, {victim.address});
    switch (env_.random("attack").below(4)) {
    case 0: co_await send_raw(victim); break;
    case 1: co_await try_pairing(victim); break;
    default: co_await try_protocol(victim); break;
    }
    check_connections();
    host_->disconnect(victim.id);
}

void Stranger::check_connections()
{
    for (auto const& connection : host_->connections()) {
        findings_.check(connection.agent.empty(), "a stranger hears nothing", [] { return "identify"; });
    }
}

Task<> Stranger::try_protocol(Victim victim)
{
    auto& random = env_.random("attack");
    auto const& names = member_protocols();
    auto const protocol = names[random.below(names.size())];
    auto opened = co_await host_->open_stream(victim.id, protocol, env_.deadline_in(patience));
    if (!opened) {
        co_return;
    }
    auto const message = nonsense(random);
    auto const limit = env_.deadline_in(patience);
    auto const written = co_await with_deadline(env_, limit, (*opened)->write(message));
    auto buffer = std::array<std::byte, 64>{};
    auto const count = written ? co_await with_deadline(env_, limit, (*opened)->read_some(buffer)) : Result<std::size_t>(0);
    (*opened)->reset();
    findings_.check(count.value_or(0) == 0, "a stranger hears nothing", [&] { return protocol; });
}

/// With a link that was seen: a wrong secret, an old proof, or the right secret of an invite that may be used.
Task<> Stranger::try_pairing(Victim victim)
{
    auto& random = env_.random("attack");
    if (links_.empty()) {
        co_return;
    }
    // The latest is the most likely to be open still; its maker, now and then another one.
    auto const link = random.below(3) > 0 ? links_.back() : links_[random.below(links_.size())];
    if (random.below(4) > 0) {
        victim.id = link.device;
        host_->remember_addresses(link.device, link.addresses);
    }
    auto opened = co_await host_->open_stream(victim.id, membership::pairing_protocol, env_.deadline_in(patience));
    if (!opened) {
        co_return;
    }
    auto const limit = env_.deadline_in(patience);
    auto hello = PairingMessage(PairingMessage::Kind::hello);
    hello.invite_id = link.invite_id;
    hello.name = "stranger";
    hello.nonce = random.bytes(membership::nonce_bytes);
    auto const first = encode(hello);
    auto const sent = co_await with_deadline(env_, limit, stream::write_message(**opened, first));
    auto const answer = co_await with_deadline(env_, limit, stream::read_message(**opened, reply_limit));
    auto const challenge = sent ? and_then(answer, [](Bytes const& bytes) { return membership::decode_pairing(bytes); })
                                : std::unexpected(sent.error());
    if (!challenge || challenge->kind != PairingMessage::Kind::challenge) {
        (*opened)->reset();
        co_return;
    }
    auto proof = PairingMessage(PairingMessage::Kind::proof);
    proof.proof = random.bytes(random.below(2) == 0 ? 32 : 5);
    auto const second = encode(proof);
    auto const proven = co_await with_deadline(env_, limit, stream::write_message(**opened, second));
    auto const verdict = co_await with_deadline(env_, limit, stream::read_message(**opened, reply_limit));
    auto const told = and_then(verdict, [](Bytes const& bytes) { return membership::decode_pairing(bytes); });
    findings_.check(!proven || !told || told->kind == PairingMessage::Kind::refused, "a wrong secret lets nobody in",
                    [] { return "accepted"; });
    (*opened)->reset();
}

/// Bytes that are no libp2p, at the socket.
Task<> Stranger::send_raw(Victim victim)
{
    auto& random = env_.random("attack");
    auto socket = co_await env_.network().connect(*victim.address.tcp_endpoint(), env_.deadline_in(patience));
    if (!socket) {
        co_return;
    }
    auto bytes = random.below(2) == 0 ? to_bytes("\x13/multistream/1.0.0\n\x07/noise\n") : Bytes{};
    append(bytes, random.bytes(random.below(3000)));
    auto const limit = env_.deadline_in(patience);
    auto const written = co_await with_deadline(env_, limit, (*socket)->write(bytes));
    if (written && random.below(2) == 0) {
        co_await sleep_for(env_, patience);
    }
    (*socket)->reset();
}

}  // namespace plexus::simulation
