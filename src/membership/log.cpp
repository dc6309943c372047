#include "membership/log.h"

#include <ranges>

#include "base/reader.h"
#include "security/identity.h"

namespace plexus::membership {

namespace {

constexpr auto file_magic = std::string_view("plexus-membership 1\n");

void mark(std::vector<bool>& places, std::size_t place)
{
    if (places.size() <= place) {
        places.resize(place + 1);
    }
    places[place] = true;
}

bool has(std::vector<bool> const& places, std::size_t place)
{
    return place < places.size() && places[place];
}

}  // namespace

Log Log::found(crypto::KeyPair const& identity, std::string name, WallTime now, Bytes nonce)
{
    auto const self = security::peer_id_of(identity.public_key());
    auto log = Log();
    auto genesis = sign_entry(identity, {.operation = Operation::genesis,
                                         .parents = {},
                                         .signer = self,
                                         .time = now,
                                         .device = self,
                                         .role = Role::owner,
                                         .name = std::move(name),
                                         .nonce = std::move(nonce)});
    log.keep(std::move(genesis), {});
    log.find_members();
    return log;
}

Result<Log> Log::decode(ByteView bytes)
{
    auto entries = std::vector<Bytes>{};
    auto reader = BoundedReader(bytes);
    auto const magic = reader.take(file_magic.size());
    if (!magic || as_text(*magic) != file_magic) {
        return fail(ErrorKind::malformed, "this is no membership log");
    }
    while (!reader.at_end()) {
        auto const size = reader.take_big_endian<std::uint32_t>();
        auto const content = size ? reader.take(*size) : std::unexpected(size.error());
        if (!content) {
            return std::unexpected(content.error());
        }
        entries.push_back(to_bytes(*content));
    }
    return from_entries(entries);
}

Result<Log> Log::from_entries(std::vector<Bytes> const& entries)
{
    auto log = Log();
    for (auto const& bytes : entries) {
        auto taken = and_then(parse_entry(bytes), [&](Entry entry) { return log.take(std::move(entry)); });
        if (!taken) {
            return std::unexpected(taken.error());
        }
    }
    if (log.nodes_.empty()) {
        return fail(ErrorKind::malformed, "the membership log is empty");
    }
    log.find_members();
    return log;
}

Bytes Log::encode() const
{
    auto bytes = to_bytes(file_magic);
    for (auto const& node : nodes_) {
        auto const& content = node.entry.bytes;
        auto size = std::array<std::byte, 4>{};
        store_big_endian(size.data(), static_cast<std::uint32_t>(content.size()));
        plexus::append(bytes, size);
        plexus::append(bytes, content);
    }
    return bytes;
}

Result<bool> Log::insert(Entry entry)
{
    auto taken = take(std::move(entry));
    if (taken.value_or(false)) {
        find_members();
    }
    return taken;
}

/// Without finding who is in then.
Result<bool> Log::take(Entry entry)
{
    if (contains(entry.id)) {
        return false;
    }
    if (size() >= max_entries) {
        return fail(ErrorKind::too_large, "the membership log is full ({} entries)", max_entries);
    }
    for (auto const& parent : entry.body.parents) {
        if (!contains(parent)) {
            return fail(ErrorKind::not_found, "a membership entry follows one that is not known");
        }
    }
    auto before = ancestors_of(entry.body.parents);
    if (auto checked = check(entry, before); !checked) {
        return std::unexpected(checked.error());
    }
    keep(std::move(entry), std::move(before));
    return true;
}

Result<void> Log::check(Entry const& entry, Places const& before) const
{
    if (entry.body.operation == Operation::genesis) {
        return nodes_.empty() ? Result<void>{} : fail(ErrorKind::not_allowed, "a membership entry begins another mesh");
    }
    auto view = View{.entries = before};
    auto const signer = standing(entry.body.signer, view);
    if (!signer || signer->role != Role::owner) {
        return fail(ErrorKind::not_allowed, "a membership entry is signed by a device that is no owner");
    }
    return {};
}

void Log::keep(Entry entry, Places before)
{
    auto const place = nodes_.size();
    auto& about = about_[entry.body.device];
    (entry.body.operation == Operation::revoke ? about.revocations : about.additions).push_back(place);
    places_.emplace(entry.id, place);
    nodes_.push_back({.entry = std::move(entry), .place = place, .before = std::move(before)});
}

Log::Places Log::ancestors_of(std::vector<EntryId> const& parents) const
{
    auto places = Places(nodes_.size());
    for (auto const& id : parents) {
        auto const found = places_.find(id);
        if (found == places_.end()) {
            continue;
        }
        auto const& parent = nodes_[found->second];
        mark(places, parent.place);
        for (std::size_t place = 0; place < parent.before.size(); ++place) {
            places[place] = places[place] || parent.before[place];
        }
    }
    return places;
}

bool Log::precedes(Node const& earlier, Node const& later) const
{
    return has(later.before, earlier.place);
}

bool Log::is_revoked_since(Node const& addition, Places const& seen) const
{
    auto const& revocations = about_.at(addition.entry.body.device).revocations;
    return std::ranges::any_of(revocations | std::views::reverse, [&](std::size_t place) {
        return has(seen, place) && !precedes(nodes_[place], addition);
    });
}

bool Log::stands(Node const& addition, View& view) const
{
    auto const known = view.stands.find(addition.place);
    if (known != view.stands.end()) {
        return known->second;
    }
    auto const result = addition.entry.body.operation == Operation::genesis || is_supported(addition, view);
    view.stands.emplace(addition.place, result);
    return result;
}

/// Its signer was an owner then, and nobody revoked the signer at the same time.
bool Log::is_supported(Node const& addition, View& view) const
{
    auto const& signer = about_.at(addition.entry.body.signer);
    auto const is_at_the_same_time = [&](std::size_t place) {
        return has(view.entries, place) && !precedes(nodes_[place], addition) && !precedes(addition, nodes_[place]);
    };
    auto const is_grant = [&](std::size_t place) {
        return nodes_[place].entry.body.role == Role::owner && is_in_force(nodes_[place], view, addition.before);
    };
    // Latest first: most often it decides.
    return std::ranges::none_of(signer.revocations | std::views::reverse, is_at_the_same_time) &&
           std::ranges::any_of(signer.additions | std::views::reverse, is_grant);
}

bool Log::is_in_force(Node const& addition, View& view, Places const& seen) const
{
    return has(seen, addition.place) && !is_revoked_since(addition, seen) && stands(addition, view);
}

/// The latest addition; of several made at the same time the one that grants least.
std::optional<Standing> Log::standing(PeerId const& device, View& view) const
{
    auto const about = about_.find(device);
    if (about == about_.end()) {
        return std::nullopt;
    }
    auto latest = std::vector<Node const*>{};  // those in force that no later one replaces
    for (auto const place : about->second.additions | std::views::reverse) {
        auto const& addition = nodes_[place];
        auto const replaces_it = [&](Node const* later) { return precedes(addition, *later); };
        if (!std::ranges::any_of(latest, replaces_it) && is_in_force(addition, view, view.entries)) {
            latest.push_back(&addition);
        }
    }
    if (latest.empty()) {
        return std::nullopt;
    }
    auto const rank = [](Node const* each) { return std::pair(each->entry.body.role, each->entry.id); };
    auto const& body = std::ranges::max(latest, {}, rank)->entry.body;
    return Standing{.role = body.role, .name = body.name, .since = body.time};
}

void Log::find_members()
{
    auto view = View{.entries = Places(nodes_.size(), true)};
    members_.clear();
    for (auto const& [device, about] : about_) {
        if (auto found = standing(device, view)) {
            members_.emplace(device, std::move(*found));
        }
    }
}

bool Log::is_revoked(PeerId const& device) const
{
    return about_.contains(device) && !members_.contains(device);
}

std::vector<EntryId> Log::heads() const
{
    auto followed = Places(nodes_.size());
    for (auto const& node : nodes_) {
        for (auto const& parent : node.entry.body.parents) {
            followed[places_.at(parent)] = true;
        }
    }
    auto heads = std::vector<EntryId>{};
    for (auto const& [id, place] : places_) {
        if (!followed[place]) {
            heads.push_back(id);
        }
    }
    return heads;
}

std::vector<Entry const*> Log::missing_from(std::vector<EntryId> const& known) const
{
    auto const places = ancestors_of(known);
    auto missing = std::vector<Entry const*>{};
    for (auto const& node : nodes_) {
        if (!has(places, node.place)) {
            missing.push_back(&node.entry);
        }
    }
    return missing;
}

Result<void> Log::append(crypto::KeyPair const& identity, EntryBody body)
{
    body.signer = security::peer_id_of(identity.public_key());
    body.parents = heads();
    // More heads than an entry may name are joined by later entries.
    body.parents.resize(std::min(body.parents.size(), max_parents));
    auto inserted = insert(sign_entry(identity, std::move(body)));
    return inserted ? Result<void>{} : std::unexpected(inserted.error());
}

Result<void> Log::add(crypto::KeyPair const& identity, PeerId device, Role role, std::string name, WallTime now)
{
    return append(identity, {.operation = Operation::add,
                             .parents = {},
                             .signer = {},
                             .time = now,
                             .device = std::move(device),
                             .role = role,
                             .name = std::move(name),
                             .nonce = {}});
}

Result<void> Log::revoke(crypto::KeyPair const& identity, PeerId device, WallTime now)
{
    return append(identity, {.operation = Operation::revoke,
                             .parents = {},
                             .signer = {},
                             .time = now,
                             .device = std::move(device),
                             .role = Role::member,
                             .name = {},
                             .nonce = {}});
}

}  // namespace plexus::membership
