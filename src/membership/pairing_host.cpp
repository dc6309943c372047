#include "base/log.h"
#include "membership/parts.h"

// Letting a device in: the side of /plexus/pair/1 that made the invite.

namespace plexus::membership {

using host::Admission;

namespace {

constexpr std::uint64_t code_values = 1'000'000;

PairingMessage refused(PairingRefusal reason)
{
    auto message = PairingMessage(PairingMessage::Kind::refused);
    message.refusal = reason;
    return message;
}

}  // namespace

Result<Invite> Membership::invite(Role role, Duration lifetime)
{
    if (!is_owner()) {
        return fail(ErrorKind::not_allowed, "only an owner may invite; ask on a device that is one");
    }
    auto addresses = host_->listen_addresses();
    std::erase_if(addresses, [](Multiaddr const& address) {
        auto const endpoint = address.tcp_endpoint();
        return !endpoint || endpoint->address.is_loopback();
    });
    if (addresses.empty()) {
        addresses = host_->listen_addresses();
    }
    if (addresses.empty()) {
        return fail(ErrorKind::unavailable, "this device listens on no address that another one could reach");
    }
    addresses.resize(std::min(addresses.size(), max_addresses_per_device));
    auto& random = env_.random("invites");
    auto link = InviteLink{.device = self_,
                           .addresses = std::move(addresses),
                           .invite_id = random.bytes(invite_id_bytes),
                           .secret = random.bytes(secret_bytes),
                           .expires = std::chrono::time_point_cast<std::chrono::milliseconds>(env_.wall_now() + lifetime)};
    auto const code = fmt::format("{:0{}}", random.below(code_values), code_digits);
    auto invite = invites_.open(std::move(link), role, env_.now(), lifetime, code);
    watch_invites();
    return invite;
}

std::vector<Invite> Membership::invites()
{
    return invites_.list(env_.now());
}

Result<void> Membership::withdraw(std::string const& invite_id)
{
    auto withdrawn = invites_.withdraw(invite_id);
    decided_.notify();
    host_->reconsider();
    return withdrawn;
}

/// Shows strangers out when the last invite has ended.
void Membership::watch_invites()
{
    if (invite_timer_) {
        env_.cancel_timer(std::exchange(invite_timer_, std::nullopt).value());
    }
    auto last = WallTime{};
    for (auto const& invite : invites()) {
        last = std::max(last, invite.expires);
    }
    if (last == WallTime{}) {
        return;
    }
    auto const wait = std::max<Duration>(last - env_.wall_now(), std::chrono::seconds(1)) + std::chrono::seconds(1);
    invite_timer_ = env_.start_timer(env_.now() + wait, [this] {
        invite_timer_.reset();
        host_->reconsider();
        watch_invites();
    });
}

Task<> Membership::serve_pairing(std::unique_ptr<host::Stream> stream)
{
    auto const peer = stream->peer();
    auto const deadline = env_.deadline_in(step_limit);
    auto hello = co_await read_decoded(env_, *stream, max_first_pairing_bytes, deadline, decode_pairing);
    if (!hello || hello->kind != PairingMessage::Kind::hello) {
        stream->reset();
        co_return;
    }
    auto const answer = co_await let_in(*stream, std::move(*hello));
    if (!answer) {
        stream->reset();
        co_return;
    }
    auto const is_joined = answer->kind == PairingMessage::Kind::accepted;
    // Also if the connection is lost now. The joiner comes again as a member, on a connection of its own.
    struct AtEnd {
        Membership& membership;
        PeerId peer;
        bool is_joined;
        ~AtEnd() { membership.tasks_.spawn("part with " + peer.short_text(), membership.part_with(peer, is_joined)); }
    } const at_end{*this, peer, is_joined};
    auto const told = co_await write_encoded(env_, *stream, *answer, deadline);
    if (told && is_joined) {
        std::ignore = co_await read_decoded(env_, *stream, max_first_pairing_bytes, deadline, decode_pairing);  // done
    }
    std::ignore = co_await stream->close_write();
}

Task<Result<PairingMessage>> Membership::let_in(host::Stream& stream, PairingMessage hello)
{
    auto const open = invites_.find(hello.invite_id, env_.now());
    if (!open) {
        co_return refused(open.error());
    }
    auto transcript = PairingTranscript{.joiner = stream.peer(),
                                        .host = self_,
                                        .invite_id = std::move(hello.invite_id),
                                        .name = std::move(hello.name),
                                        .joiner_nonce = std::move(hello.nonce),
                                        .host_nonce = env_.random("pairing").bytes(nonce_bytes)};
    auto challenge = PairingMessage(PairingMessage::Kind::challenge);
    challenge.nonce = transcript.host_nonce;
    auto const deadline = env_.deadline_in(step_limit);
    auto const asked = co_await write_encoded(env_, stream, challenge, deadline);
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    auto const proof = co_await read_decoded(env_, stream, max_first_pairing_bytes, deadline, decode_pairing);
    if (!proof) {
        co_return std::unexpected(proof.error());
    }
    co_return admit_with(transcript, *proof);
}

Result<PairingMessage> Membership::admit_with(PairingTranscript const& transcript, PairingMessage const& proof)
{
    using Side = PairingTranscript::Side;
    auto const open = invites_.find(transcript.invite_id, env_.now());
    if (!open) {
        return refused(open.error());
    }
    auto const secret = (*open)->link.secret;
    auto const role = (*open)->role;
    auto const expected = transcript.proof_of(Side::joiner, secret);
    if (proof.kind != PairingMessage::Kind::proof || !equal_in_constant_time(expected.bytes(), proof.proof)) {
        invites_.count_wrong_proof(transcript.invite_id);
        log::warning("a device with a wrong secret tried to join", {{"peer", transcript.joiner.short_text()}});
        return refused(PairingRefusal::wrong_secret);
    }
    invites_.use(transcript.invite_id);
    auto grown = log_;
    auto added = grown.add(identity_, transcript.joiner, role, transcript.name, env_.wall_now());
    if (added) {
        added = save(grown);
    }
    if (!added) {
        log::error("a device could not be let in", {{"why", added.error().text}});
        return refused(PairingRefusal::failed);
    }
    log_ = std::move(grown);
    log::info("a device joined", {{"name", transcript.name}, {"peer", transcript.joiner.short_text()}});
    auto answer = PairingMessage(PairingMessage::Kind::accepted);
    answer.proof = to_bytes(transcript.proof_of(Side::host, secret).bytes());
    answer.mesh = greeting();
    add_missing(answer.mesh, log_, {});
    return answer;
}

/// Ends the stranger's connection; if it was let in, tells the others who came.
Task<> Membership::part_with(PeerId peer, bool is_joined)
{
    // A moment for the last bytes, which say that the pairing is done.
    co_await sleep_for(env_, std::chrono::milliseconds(50));
    for (auto const& connection : host_->connections()) {
        if (connection.peer == peer && connection.admission == Admission::pairing) {
            host_->disconnect(peer);
            break;
        }
    }
    if (is_joined) {
        changed(peer);
    }
}

}  // namespace plexus::membership
