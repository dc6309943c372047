#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "crypto/digest.h"
#include "crypto/keys.h"
#include "multiformats/peer_id.h"

namespace plexus::membership {

using multiformats::PeerId;

/// SHA-256 of an entry's body.
using EntryId = crypto::Digest32;

inline constexpr std::size_t max_entry_bytes = 2048;
inline constexpr std::size_t max_parents = 16;
inline constexpr std::size_t max_name_bytes = 64;

/// What a device may do, from most to least.
enum class Role : std::uint8_t { owner = 1, member = 2, guest = 3, sensor = 4, relay = 5 };

std::string_view to_string(Role role);
std::optional<Role> role_from(std::string_view name);

enum class Operation : std::uint8_t {
    genesis = 1,  ///< begins a mesh; its signer is the first owner
    add = 2,      ///< `device` gets `role` and `name`
    revoke = 3,   ///< `device` is out, whatever was said at the same time
};

/// What one entry of the membership log says. Spec: docs/protocols/membership.md.
struct EntryBody {
    Operation operation = Operation::add;
    std::vector<EntryId> parents;  ///< the heads its signer knew; sorted, none for genesis
    PeerId signer;
    WallTime time{};  ///< for people; decides nothing
    PeerId device;
    Role role = Role::member;  ///< of genesis and add
    std::string name;          ///< of genesis and add; UTF-8 without control characters
    Bytes nonce;               ///< of genesis: 16 random bytes

    bool operator==(EntryBody const&) const = default;
};

/// An entry as it was signed, with its own bytes.
struct Entry {
    EntryId id;
    EntryBody body;
    Bytes bytes;  ///< protobuf {body, signature}: what is stored and sent
};

/// Signs `body`, whose signer must be the identity's peer id.
Entry sign_entry(crypto::KeyPair const& identity, EntryBody body);

/// Parses and checks the signature; what the entry refers to is the log's business.
/// Errors: `malformed`, `too_large`, `not_allowed` (signature), `unavailable` (an operation of a later version).
Result<Entry> parse_entry(ByteView bytes);

/// A name that can be shown: 1 to max_name_bytes bytes of UTF-8 without control characters.
bool is_usable_name(std::string_view name);

}  // namespace plexus::membership
