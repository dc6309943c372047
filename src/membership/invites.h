#pragma once

#include <deque>

#include "membership/invite_link.h"

namespace plexus::membership {

inline constexpr std::size_t max_open_invites = 8;
inline constexpr std::size_t max_closed_invites = 64;  ///< remembered, to say why one is refused
inline constexpr int max_wrong_proofs = 3;             ///< then the invite is burnt

struct Invite {
    std::string id;
    std::string link;
    Role role = Role::member;
    WallTime expires{};
};

/// The invites of this device. Kept in memory only: a restart withdraws them. No clock, no I/O.
class Invites {
public:
    struct Open {
        InviteLink link;
        Role role = Role::member;
        Time expires{};
        int wrong_proofs = 0;
    };

    /// Errors: `unavailable` over max_open_invites.
    Result<Invite> open(InviteLink link, Role role, Time expires);
    std::vector<Invite> list(Time now);
    /// Errors: `not_found`.
    Result<void> withdraw(std::string const& id);

    bool any(Time now);
    /// The invite that is open, or why it is not.
    std::expected<Open*, PairingRefusal> find(ByteView invite_id, Time now);
    void use(ByteView invite_id) { close(invite_id, PairingRefusal::used); }
    /// Somebody knew the invite but not its secret.
    void count_wrong_proof(ByteView invite_id);

private:
    void close(ByteView invite_id, PairingRefusal reason);
    void close_expired(Time now);

    std::map<Bytes, Open> open_;
    std::deque<std::pair<Bytes, PairingRefusal>> closed_;
};

/// What both sides of a pairing saw; the proofs bind the secret to it.
struct PairingTranscript {
    PeerId joiner, host;
    Bytes invite_id;
    std::string name;
    Bytes joiner_nonce, host_nonce;

    enum class Side { joiner, host };
    /// HMAC-SHA256 with the secret. Spec: docs/protocols/pair.md, "The proofs".
    crypto::Digest32 proof_of(Side side, ByteView secret) const;
};

}  // namespace plexus::membership
