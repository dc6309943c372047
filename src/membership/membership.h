#pragma once

#include <functional>
#include <set>

#include "base/env.h"
#include "host/host.h"
#include "membership/invites.h"

namespace plexus::membership {

inline constexpr auto membership_protocol = "/plexus/membership/1";
inline constexpr auto pairing_protocol = "/plexus/pair/1";
inline constexpr auto code_protocol = "/plexus/code/1";
inline constexpr std::size_t max_code_candidates = 16;  ///< asked for one code

struct Member {
    PeerId device;
    std::string name;
    Role role = Role::member;
    WallTime since{};
    bool is_self = false;
};

/// A device near by, which may show a code.
struct Candidate {
    PeerId device;
    std::vector<host::Multiaddr> addresses;
};

/// Who belongs to the mesh, and the keeper of its door.
///
/// Holds this device's key and the membership log; lets in whom the log names and, while an invite is open, strangers
/// as far as /plexus/pair/1; exchanges logs with every member that is connected; stays in touch with all of them.
/// Spec: docs/protocols/membership.md, docs/protocols/pair.md.
class Membership final : public host::Gater {
public:
    /// Reads identity.key, membership.log and addresses in `folder`; makes what is missing: a first start founds a mesh
    /// of this device alone. Errors, as sentences for people: `not_allowed` (key open to others), `malformed` (a
    /// damaged file, or a log that does not name the key; both are left as they are), those of Disk.
    static Result<std::unique_ptr<Membership>> open(Env& env, std::filesystem::path folder, std::string device_name);
    ~Membership() override;

    crypto::KeyPair const& identity() const { return identity_; }
    PeerId const& self() const { return self_; }
    EntryId const& mesh_id() const { return log_.mesh(); }

    /// This device first, then by name.
    std::vector<Member> members() const;
    std::optional<Member> find(PeerId const& device) const;

    /// Serves the protocols and begins to connect to the others. Once. `host` must outlive `stop()`.
    void start(host::Host& host);

    /// Errors: `not_allowed` unless this device is an owner, `unavailable` (too many open, no address to be reached at).
    Result<Invite> invite(Role role, Duration lifetime);
    std::vector<Invite> invites();
    /// Errors: `not_found`.
    Result<void> withdraw(std::string const& invite_id);

    /// Joins the mesh of the device that made the link; gives that device. This device must be alone in its own.
    /// Errors: `malformed` (no link of ours), `conflict` (already with others), `unavailable` (no way to the device),
    /// `timed_out` (expired, or no answer), `not_allowed` (used, withdrawn, foreign, wrong secret), those of Disk.
    Task<Result<PeerId>> join(std::string link, Deadline deadline);

    /// Joins with the digits that one of `candidates` shows; they are asked in their order, each may cost a try.
    /// Errors: those of join, with `not_allowed` for wrong digits and the tries left, `timed_out` if no person let this
    /// device in, `not_found` if none of them shows a code.
    Task<Result<PeerId>> join_by_code(std::string digits, std::vector<Candidate> candidates, Deadline deadline);
    /// Lets the device in that knew the code of this invite, or not. Errors: `not_found`: it waits no more.
    Result<void> decide(std::string const& invite_id, PeerId const& device, bool lets_in);

    /// Takes a device out; its connections end at once. Errors: `not_allowed`, `not_found`, those of Disk.
    Result<void> revoke(PeerId const& device);

    /// Somebody said that this device is at `addresses`. A hint, which costs a dial at most a second: a member that is away
    /// is tried there; others are of no interest.
    void heard_of(PeerId const& device, std::vector<host::Multiaddr> const& addresses);
    /// Members that are away are tried now: the network has changed.
    void try_again();

    /// Called on the loop after members have changed.
    void on_change(std::function<void()> action) { on_change_.push_back(std::move(action)); }

    /// Joins all tasks. Must be awaited before destruction and before the host's `stop()`.
    Task<> stop();

    bool allow_address(Endpoint const& to, host::Direction direction) override;
    host::Admission admit(PeerId const& peer, host::Direction direction) override;

private:
    /// How a member that is away is tried again.
    struct Retry {
        Time due{};
        Duration pause{};
        Time begun{};  ///< the last try
        bool is_dialling = false;

        void hasten(Time now);
    };
    /// One exchange of logs a member at a time.
    struct Exchange {
        bool is_running = false;
        bool again = false;
    };

    Membership(Env& env, std::filesystem::path folder, crypto::KeyPair identity, Log log);

    std::filesystem::path log_file() const { return folder_ / "membership.log"; }
    std::filesystem::path address_file() const { return folder_ / "addresses"; }
    Result<void> save(Log const& log);
    void save_log();
    void load_addresses();
    void save_addresses();

    SyncMessage greeting() const;
    std::vector<AddressHint> hints() const;
    Result<void> take(SyncMessage const& message, PeerId const& from);
    Result<void> take_entries(std::vector<Bytes> const& entries);
    void changed(std::optional<PeerId> from);
    void exchange_with(PeerId const& peer);
    Task<> run_exchanges(PeerId peer);
    Task<Result<void>> exchange_once(PeerId peer);
    Task<> serve_exchange(std::unique_ptr<host::Stream> stream);
    Task<Result<void>> serve_steps(host::Stream& stream);
    void hear_of(AddressHint const& hint);

    Task<> serve_pairing(std::unique_ptr<host::Stream> stream);
    Task<Result<PairingMessage>> let_in(host::Stream& stream, PairingMessage hello);
    Result<PairingMessage> admit_with(PairingTranscript const& transcript, PairingMessage const& proof);
    Task<> part_with(PeerId peer, bool is_joined);
    void watch_invites();

    Task<> serve_code(std::unique_ptr<host::Stream> stream);
    Task<Result<CodeMessage>> check_code(host::Stream& stream);
    Task<std::optional<CodeRefusal>> decision_on(Bytes invite_id, Applicant applicant);
    Task<Result<std::string>> ask_for_link(Candidate const& candidate, std::string const& digits, Deadline deadline);
    Task<Result<std::string>> exchange_code(host::Stream& stream, std::string const& digits, Deadline deadline);
    crypto::Secret32 fresh_secret();
    Result<void> may_join() const;

    Task<Result<void>> pair_with(InviteLink const& link, Deadline deadline);
    Result<Log> log_from(PairingMessage const& accepted, InviteLink const& link) const;

    Task<> keep_in_touch();
    Time dial_those_due();
    Task<> dial(PeerId peer);
    bool is_connected(PeerId const& peer) const;
    bool is_owner() const;

    Env& env_;
    std::filesystem::path folder_;
    crypto::KeyPair identity_;
    PeerId self_;
    Log log_;
    bool is_saved_ = true;
    Invites invites_;
    std::optional<PeerId> joining_;
    host::Host* host_ = nullptr;
    std::map<PeerId, Retry> retries_;
    std::map<PeerId, Exchange> exchanges_;
    std::map<PeerId, std::size_t> served_;  ///< exchanges that others began
    std::vector<AddressHint> loaded_addresses_;
    Bytes saved_addresses_;
    std::vector<std::function<void()>> on_change_;
    Signal wake_;
    Signal decided_;  ///< something about an applicant
    std::optional<Env::TimerId> invite_timer_;
    TaskScope tasks_;
};

}  // namespace plexus::membership
