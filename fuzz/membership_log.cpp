#include "membership/log.h"
#include "security/identity.h"

using namespace plexus;
using namespace plexus::membership;

namespace {

constexpr std::size_t max_steps = 32;
constexpr std::size_t device_count = 4;
constexpr std::size_t replica_count = 3;

bool are_alike(Log const& left, Log const& right)
{
    auto const same = [](auto const& one, auto const& other) {
        return one.first == other.first && one.second.role == other.second.role && one.second.name == other.second.name;
    };
    return left.mesh() == right.mesh() && left.heads() == right.heads() &&
           std::ranges::equal(left.members(), right.members(), same);
}

/// What was accepted keeps every limit and is the same after it was written and read again.
void check(Log const& log)
{
    PLEXUS_ASSERT(log.size() <= max_entries && log.missing_from({}).size() == log.size());
    PLEXUS_ASSERT(log.missing_from(log.heads()).empty());
    auto const again = Log::decode(log.encode());
    PLEXUS_ASSERT(again && are_alike(*again, log));
}

crypto::KeyPair const& key_of(std::size_t number)
{
    static auto const keys = [] {
        auto made = std::vector<crypto::KeyPair>{};
        for (std::size_t each = 0; each < device_count; ++each) {
            auto const seed = Bytes(32, static_cast<std::byte>(each + 1));
            made.emplace_back(crypto::Secret32(std::span<std::byte const, 32>(seed)));
        }
        return made;
    }();
    return keys[number % device_count];
}

void merge(Log& to, Log const& from)
{
    for (auto const* entry : from.missing_from(to.heads())) {
        PLEXUS_ASSERT(to.insert(*entry).has_value());
    }
}

/// Three copies of a log change apart, as two bytes a step tell; merged in any order they are alike. This reaches what
/// lies behind the signatures.
void play(ByteView script)
{
    auto logs = std::vector<Log>(replica_count, Log::found(key_of(0), "founder", WallTime{}, Bytes(16)));
    for (std::size_t step = 0; step < max_steps && 2 * step + 1 < script.size(); ++step) {
        auto const what = std::to_integer<std::size_t>(script[2 * step]);
        auto const who = std::to_integer<std::size_t>(script[2 * step + 1]);
        auto& log = logs[what % replica_count];
        auto const& signer = key_of(who);
        auto const device = security::peer_id_of(key_of(who / device_count).public_key());
        switch (what / replica_count % 4) {
        case 0: std::ignore = log.add(signer, device, Role::owner, "owner", WallTime{}); break;
        case 1: std::ignore = log.add(signer, device, Role::member, "member", WallTime{}); break;
        case 2: std::ignore = log.revoke(signer, device, WallTime{}); break;
        default: merge(log, logs[who % replica_count]); break;
        }
    }
    auto forwards = logs.front();
    merge(forwards, logs[1]);
    merge(forwards, logs[2]);
    auto backwards = logs.back();
    merge(backwards, logs[1]);
    merge(backwards, logs[0]);
    PLEXUS_ASSERT(are_alike(forwards, backwards));
    check(forwards);
}

}  // namespace

/// The first byte tells which: a file, one entry, or a script.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const input = std::as_bytes(std::span(data, size));
    if (input.empty()) {
        return 0;
    }
    auto const rest = input.subspan(1);
    switch (data[0] % 3) {
    case 0:
        if (auto const log = Log::decode(rest)) {
            check(*log);
        }
        break;
    case 1:
        if (auto const entry = parse_entry(rest)) {
            auto const again = parse_entry(entry->bytes);
            PLEXUS_ASSERT(again && again->id == entry->id && again->body == entry->body);
        }
        break;
    default: play(rest); break;
    }
    return 0;
}
