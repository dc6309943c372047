#include "membership/invites.h"

namespace plexus::membership {

namespace {

constexpr auto joiner_label = std::string_view("plexus-pair/1 joiner");
constexpr auto host_label = std::string_view("plexus-pair/1 host");

Invite view_of(Invites::Open const& open)
{
    return {.id = to_hex(open.link.invite_id),
            .link = open.link.text(),
            .code = open.code,
            .role = open.role,
            .expires = open.link.expires,
            .applicant = open.applicant};
}

/// Each part with its length in front, so that no two transcripts read alike.
void append_part(Bytes& to, ByteView part)
{
    auto size = std::array<std::byte, 4>{};
    store_big_endian(size.data(), static_cast<std::uint32_t>(part.size()));
    append(to, size);
    append(to, part);
}

}  // namespace

Result<Invite> Invites::open(InviteLink link, Role role, Time now, Duration lifetime, std::string code)
{
    if (open_.size() >= max_open_invites) {
        return fail(ErrorKind::unavailable, "there are {} open invites; withdraw one or wait until it ends", open_.size());
    }
    for (auto& [id, invite] : open_) {
        invite.code.clear();
    }
    auto id = link.invite_id;
    auto const [place, is_new] = open_.emplace(std::move(id),
                                               Open{.link = std::move(link),
                                                    .role = role,
                                                    .expires = now + lifetime,
                                                    .code = std::move(code),
                                                    .code_expires = now + std::min<Duration>(lifetime, code_lifetime)});
    PLEXUS_ASSERT(is_new);
    return view_of(place->second);
}

std::vector<Invite> Invites::list(Time now)
{
    close_expired(now);
    auto list = std::vector<Invite>{};
    for (auto const& [id, invite] : open_) {
        list.push_back(view_of(invite));
    }
    return list;
}

Result<void> Invites::withdraw(std::string const& id)
{
    auto const bytes = from_hex(id);
    if (!bytes || !open_.contains(*bytes)) {
        return fail(ErrorKind::not_found, "there is no open invite {}", id);
    }
    close(*bytes, PairingRefusal::unknown_invite);
    return {};
}

bool Invites::any(Time now)
{
    close_expired(now);
    return !open_.empty();
}

std::expected<Invites::Open*, PairingRefusal> Invites::find(ByteView invite_id, Time now)
{
    close_expired(now);
    auto const id = to_bytes(invite_id);
    if (auto const found = open_.find(id); found != open_.end()) {
        return &found->second;
    }
    auto const known = std::ranges::find(closed_, id, &std::pair<Bytes, PairingRefusal>::first);
    return std::unexpected(known == closed_.end() ? PairingRefusal::unknown_invite : known->second);
}

void Invites::count_wrong_proof(ByteView invite_id)
{
    auto const found = open_.find(to_bytes(invite_id));
    if (found != open_.end() && ++found->second.wrong_proofs >= max_wrong_proofs) {
        close(invite_id, PairingRefusal::unknown_invite);
    }
}

Invites::Open* Invites::with_code(Time now)
{
    close_expired(now);
    auto const found = std::ranges::find_if(open_, [](auto const& entry) { return !entry.second.code.empty(); });
    return found == open_.end() ? nullptr : &found->second;
}

int Invites::count_wrong_code(Open& invite)
{
    if (++invite.wrong_codes >= max_wrong_codes) {
        invite.code.clear();
    }
    return max_wrong_codes - invite.wrong_codes;
}

void Invites::close(ByteView invite_id, PairingRefusal reason)
{
    auto id = to_bytes(invite_id);
    open_.erase(id);
    closed_.emplace_back(std::move(id), reason);
    if (closed_.size() > max_closed_invites) {
        closed_.pop_front();
    }
}

void Invites::close_expired(Time now)
{
    auto expired = std::vector<Bytes>{};
    for (auto const& [id, invite] : open_) {
        if (now >= invite.expires) {
            expired.push_back(id);
        }
    }
    for (auto const& id : expired) {
        close(id, PairingRefusal::expired);
    }
    for (auto& [id, invite] : open_) {
        if (now >= invite.code_expires) {
            invite.code.clear();
        }
    }
}

crypto::Digest32 PairingTranscript::proof_of(Side side, ByteView secret) const
{
    auto message = to_bytes(side == Side::joiner ? joiner_label : host_label);
    for (auto const part : {joiner.bytes(), host.bytes(), ByteView(invite_id), as_view(name), ByteView(joiner_nonce),
                            ByteView(host_nonce)}) {
        append_part(message, part);
    }
    return crypto::hmac_sha256(secret, message);
}

}  // namespace plexus::membership
