#pragma once

#include "membership/messages.h"

namespace plexus::membership {

inline constexpr std::size_t secret_bytes = 16;
inline constexpr std::size_t max_link_bytes = 1024;

/// What a device needs to join, once: "plexus://join/" and base64url of a protobuf message with a check value behind,
/// short enough for a QR code of a terminal. Spec: docs/protocols/pair.md, "The link".
struct InviteLink {
    PeerId device;                     ///< that made the invite
    std::vector<Multiaddr> addresses;  ///< at most max_addresses_per_device
    Bytes invite_id;
    Bytes secret;  ///< 128 random bits; never logged
    WallTime expires{};

    std::string text() const;
    /// Blanks around and quotes are passed over. Errors: `malformed`, with what to look for.
    static Result<InviteLink> parse(std::string_view text);
};

}  // namespace plexus::membership
