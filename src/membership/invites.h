#pragma once

#include <deque>

#include "membership/code_message.h"
#include "membership/invite_link.h"

namespace plexus::membership {

inline constexpr std::size_t max_open_invites = 8;
inline constexpr std::size_t max_closed_invites = 64;  ///< remembered, to say why one is refused
inline constexpr int max_wrong_proofs = 3;             ///< then the invite is burnt
inline constexpr auto code_lifetime = std::chrono::minutes(5);  ///< at most, however long the invite is open

/// A device that knew a code, and waits for a person to let it in.
struct Applicant {
    PeerId device;
    std::string name;   ///< as it says itself
    Multiaddr address;  ///< where it is
};

struct Invite {
    std::string id;
    std::string link;
    std::string code{};  ///< digits that stand for the link; empty if it has none, or no longer
    Role role = Role::member;
    WallTime expires{};
    std::optional<Applicant> applicant{};
};

/// The invites of this device. Kept in memory only: a restart withdraws them. No clock, no I/O.
class Invites {
public:
    struct Open {
        InviteLink link;
        Role role = Role::member;
        Time expires{};
        int wrong_proofs = 0;
        std::string code{};
        Time code_expires{};
        int wrong_codes = 0;
        std::optional<Applicant> applicant{};
        std::optional<bool> lets_in{};  ///< what was decided on the applicant
    };

    /// The newest invite has the code; those before lose theirs. Errors: `unavailable` over max_open_invites.
    Result<Invite> open(InviteLink link, Role role, Time now, Duration lifetime, std::string code);
    std::vector<Invite> list(Time now);
    /// Errors: `not_found`.
    Result<void> withdraw(std::string const& id);

    bool any(Time now);
    /// The invite that is open, or why it is not.
    std::expected<Open*, PairingRefusal> find(ByteView invite_id, Time now);
    void use(ByteView invite_id) { close(invite_id, PairingRefusal::used); }
    /// Somebody knew the invite but not its secret.
    void count_wrong_proof(ByteView invite_id);

    /// The invite that has a code now; null if none has.
    Open* with_code(Time now);
    /// Somebody used another code. Gives the tries that are left.
    int count_wrong_code(Open& invite);

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
