#include "security/noise.h"

using namespace plexus;
using namespace plexus::security;

namespace {

crypto::Secret32 secret(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::Secret32(std::span<std::byte const, 32>(bytes));
}

crypto::KeyPair const& identity(Role role)
{
    static auto const left = crypto::KeyPair(secret(1));
    static auto const right = crypto::KeyPair(secret(2));
    return role == Role::initiator ? left : right;
}

NoiseHandshake make(Role role)
{
    auto const base = role == Role::initiator ? 10 : 20;
    return NoiseHandshake(identity(role), {.role = role,
                                           .muxers = {"/yamux/1.0.0"},
                                           .static_secret = secret(base + 1),
                                           .ephemeral_secret = secret(base + 2)});
}

/// The next flight of a true handshake, with `changes` (pairs of position and mask) applied to it.
bool relay(NoiseHandshake& from, NoiseHandshake& to, ByteView& changes)
{
    auto flight = from.take_output();
    for (auto count = 0; count < 4 && changes.size() >= 2 && !flight.empty(); ++count) {
        flight[std::to_integer<std::size_t>(changes[0]) % flight.size()] ^= changes[1];
        changes = changes.subspan(2);
    }
    return to.push(flight).has_value();
}

void raw(Role role, ByteView bytes)
{
    auto handshake = make(role);
    while (!bytes.empty()) {
        auto const part = bytes.first(std::min<std::size_t>(bytes.size(), 61));
        bytes = bytes.subspan(part.size());
        if (!handshake.push(part)) {
            PLEXUS_ASSERT(!handshake.done());
            return;
        }
        PLEXUS_ASSERT(!handshake.done());
    }
}

/// A man in the middle: both sides finish only if the flights told both the same.
void changed(ByteView changes)
{
    auto left = make(Role::initiator);
    auto right = make(Role::responder);
    auto const flowed = relay(left, right, changes) && relay(right, left, changes) && relay(left, right, changes);
    if (!flowed || !left.done() || !right.done()) {
        return;
    }
    auto const at_left = left.take_session();
    auto const at_right = right.take_session();
    PLEXUS_ASSERT(at_left.channel_binding == at_right.channel_binding);
    PLEXUS_ASSERT(at_left.peer_key == identity(Role::responder).public_key());
    PLEXUS_ASSERT(at_right.peer_key == identity(Role::initiator).public_key());
    PLEXUS_ASSERT(at_left.muxer == at_right.muxer);
}

}  // namespace

/// Raw bytes never finish a handshake; changed flights of a true one never give two sides different sessions.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    if (size == 0) {
        return 0;
    }
    auto const bytes = std::as_bytes(std::span(data, size)).subspan(1);
    switch (data[0] % 3) {
    case 0: raw(Role::initiator, bytes); break;
    case 1: raw(Role::responder, bytes); break;
    default: changed(bytes); break;
    }
    return 0;
}
