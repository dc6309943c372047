#include "base/log.h"
#include "membership/parts.h"

// Joining: the side of /plexus/pair/1 that has the link.

namespace plexus::membership {

namespace {

Error error_of(PairingRefusal reason)
{
    switch (reason) {
    case PairingRefusal::expired: return {ErrorKind::timed_out, "the invite has expired"};
    case PairingRefusal::used: return {ErrorKind::not_allowed, "the invite was used already; each lets one device in"};
    case PairingRefusal::wrong_secret: return {ErrorKind::not_allowed, "the link is not the one that was printed"};
    case PairingRefusal::failed: return {ErrorKind::unavailable, "the other device could not write its membership log"};
    case PairingRefusal::unknown_invite: break;
    }
    return {ErrorKind::not_allowed, "the other device does not know this invite any more: it was withdrawn, or Plexus "
                                    "was started again there"};
}

}  // namespace

Result<void> Membership::may_join() const
{
    if (log_.members().size() > 1 || !log_.members().contains(self_)) {
        return fail(ErrorKind::conflict, "this device is in a mesh with others already");
    }
    if (joining_) {
        return fail(ErrorKind::conflict, "this device is joining already");
    }
    return {};
}

Task<Result<PeerId>> Membership::join(std::string text, Deadline deadline)
{
    auto const link = InviteLink::parse(text);
    if (!link) {
        co_return std::unexpected(link.error());
    }
    if (link->device == self_) {
        co_return fail(ErrorKind::malformed, "this device made the invite itself; use the link on another one");
    }
    if (auto const may = may_join(); !may) {
        co_return std::unexpected(may.error());
    }
    auto const guard = Joining(joining_, link->device);

    auto const connected = co_await host_->connect(link->device, link->addresses, deadline);
    if (!connected) {
        auto const kind = connected.error().kind == ErrorKind::not_allowed ? ErrorKind::not_allowed : ErrorKind::unavailable;
        co_return fail(kind, "no way to the device that made the invite: {}", connected.error().text);
    }
    auto const paired = co_await pair_with(*link, deadline);
    host_->disconnect(link->device);
    if (!paired) {
        auto const& error = paired.error();
        auto const is_plain = error.kind == ErrorKind::closed || error.kind == ErrorKind::refused;
        if (is_plain && env_.wall_now() > link->expires) {
            co_return std::unexpected(error_of(PairingRefusal::expired));
        }
        co_return std::unexpected(is_plain ? error_of(PairingRefusal::unknown_invite) : error);
    }
    log::info("joined a mesh", {{"mesh", log_.mesh().text().substr(0, 12)}});
    std::ignore = co_await host_->connect(link->device, link->addresses, deadline);
    changed(std::nullopt);
    co_return link->device;
}

Task<Result<void>> Membership::pair_with(InviteLink const& link, Deadline deadline)
{
    using Kind = PairingMessage::Kind;
    auto opened = co_await host_->open_stream(link.device, pairing_protocol, deadline);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto& stream = **opened;
    auto const own = find(self_);
    auto transcript = PairingTranscript{.joiner = self_,
                                        .host = link.device,
                                        .invite_id = link.invite_id,
                                        .name = own ? own->name : "device",
                                        .joiner_nonce = env_.random("pairing").bytes(nonce_bytes),
                                        .host_nonce = {}};
    auto hello = PairingMessage(Kind::hello);
    hello.invite_id = transcript.invite_id;
    hello.name = transcript.name;
    hello.nonce = transcript.joiner_nonce;
    auto const greeted = co_await write_encoded(env_, stream, hello, deadline);
    if (!greeted) {
        co_return std::unexpected(greeted.error());
    }
    auto const challenge = co_await read_decoded(env_, stream, max_first_pairing_bytes, deadline, decode_pairing);
    if (!challenge || challenge->kind != Kind::challenge) {
        co_return std::unexpected(challenge ? error_of(challenge->refusal) : challenge.error());
    }
    transcript.host_nonce = challenge->nonce;
    auto proof = PairingMessage(Kind::proof);
    proof.proof = to_bytes(transcript.proof_of(PairingTranscript::Side::joiner, link.secret).bytes());
    auto const proven = co_await write_encoded(env_, stream, proof, deadline);
    if (!proven) {
        co_return std::unexpected(proven.error());
    }
    auto const accepted = co_await read_decoded(env_, stream, max_pairing_bytes, deadline, decode_pairing);
    if (!accepted || accepted->kind != Kind::accepted) {
        co_return std::unexpected(accepted ? error_of(accepted->refusal) : accepted.error());
    }
    auto const expected = transcript.proof_of(PairingTranscript::Side::host, link.secret);
    if (!equal_in_constant_time(expected.bytes(), accepted->proof)) {
        co_return fail(ErrorKind::not_allowed, "the other device does not know the secret of the invite");
    }
    auto log = log_from(*accepted, link);
    auto saved = log ? save(*log) : std::unexpected(log.error());
    if (!saved) {
        co_return saved;
    }
    log_ = std::move(*log);
    invites_ = Invites();
    std::ignore = take(accepted->mesh, link.device);
    // On disk before anything else happens: the others do not know yet where this device is.
    host_->remember_addresses(link.device, link.addresses);
    save_addresses();
    std::ignore = co_await write_encoded(env_, stream, PairingMessage(Kind::done), deadline);
    std::ignore = co_await stream.close_write();
    // The other side ends when it has seen this; then both know.
    auto nothing = std::array<std::byte, 1>{};
    std::ignore = co_await with_deadline(env_, env_.deadline_in(step_limit).earlier(deadline), stream.read_some(nothing));
    co_return Result<void>{};
}

Result<Log> Membership::log_from(PairingMessage const& accepted, InviteLink const& link) const
{
    auto decoded = Log::from_entries(accepted.mesh.entries);
    if (!decoded) {
        return std::unexpected(decoded.error());
    }
    auto const& members = decoded->members();
    if (!members.contains(self_) || !members.contains(link.device)) {
        return fail(ErrorKind::malformed, "the other device sent a membership log that does not name both devices");
    }
    return decoded;
}

}  // namespace plexus::membership
