#pragma once

#include <map>

#include "membership/entry.h"

namespace plexus::membership {

inline constexpr std::size_t max_entries = 1024;
inline constexpr std::size_t max_log_bytes = max_entries * (max_entry_bytes + 4);

/// A device as the log has it.
struct Standing {
    Role role = Role::member;
    std::string name;
    WallTime since{};
};

/// The signed, hash-chained history of a mesh: a graph of entries that all members hold alike. Does no I/O.
///
/// Every entry names the heads that its signer knew. An entry is taken only if all of these are known and its signer
/// was an owner in their light, so a taken entry never becomes wrong. What it brings about can: a revocation undoes
/// what was said of the device, and what the device signed, unless that was said before and known to the revoker or
/// said later in its knowledge. What an undone owner added is undone with it. Revocations are never undone.
/// Two logs with the same entries have the same members, whatever the order in which these came.
class Log {
public:
    /// A new mesh with the identity as its owner. `nonce` is 16 random bytes.
    static Log found(crypto::KeyPair const& identity, std::string name, WallTime now, Bytes nonce);

    /// From what `encode` wrote. Errors: those of parse_entry and insert; `malformed`.
    static Result<Log> decode(ByteView bytes);
    Bytes encode() const;
    /// From entries as they are sent, parents first. Errors: as decode.
    static Result<Log> from_entries(std::vector<Bytes> const& entries);

    /// Takes an entry; true if it was new. Errors: `not_found` (an unknown parent), `not_allowed` (its signer is no
    /// owner, or it begins another mesh), `too_large` over max_entries.
    Result<bool> insert(Entry entry);

    /// Signs an entry on top of the present heads and takes it. Errors: as insert.
    Result<void> add(crypto::KeyPair const& identity, PeerId device, Role role, std::string name, WallTime now);
    Result<void> revoke(crypto::KeyPair const& identity, PeerId device, WallTime now);

    EntryId const& mesh() const { return nodes_.front().entry.id; }
    /// The entries that nothing follows; sorted.
    std::vector<EntryId> heads() const;
    std::size_t size() const { return nodes_.size(); }
    bool contains(EntryId const& id) const { return places_.contains(id); }

    /// What somebody who has `known` and all before it still lacks, parents first. Unknown ids are passed over.
    std::vector<Entry const*> missing_from(std::vector<EntryId> const& known) const;

    /// Devices that are in now.
    std::map<PeerId, Standing> const& members() const { return members_; }
    bool is_revoked(PeerId const& device) const;

private:
    /// One bit an entry, by its place in the order of arrival.
    using Places = std::vector<bool>;

    struct Node {
        Entry entry;
        std::size_t place = 0;
        Places before;  ///< all its ancestors
    };

    /// A part of the log that is closed under ancestors, and what was found out about it.
    struct View {
        Places entries;
        std::map<std::size_t, bool> stands{};
    };

    Log() = default;

    /// What was said of one device, by place.
    struct About {
        std::vector<std::size_t> additions, revocations;
    };

    bool precedes(Node const& earlier, Node const& later) const;
    Places ancestors_of(std::vector<EntryId> const& parents) const;
    Result<void> check(Entry const& entry, Places const& before) const;
    Result<bool> take(Entry entry);
    void keep(Entry entry, Places before);
    Result<void> append(crypto::KeyPair const& identity, EntryBody body);
    void find_members();

    bool is_in_force(Node const& addition, View& view, Places const& seen) const;
    bool is_revoked_since(Node const& addition, Places const& seen) const;
    bool stands(Node const& addition, View& view) const;
    bool is_supported(Node const& addition, View& view) const;
    std::optional<Standing> standing(PeerId const& device, View& view) const;

    std::vector<Node> nodes_;  ///< in the order of arrival
    std::map<EntryId, std::size_t> places_;
    std::map<PeerId, About> about_;
    std::map<PeerId, Standing> members_;
};

}  // namespace plexus::membership
