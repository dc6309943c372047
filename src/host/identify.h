#pragma once

#include "host/host.h"

namespace plexus::host {

inline constexpr std::string_view identify_protocol = "/ipfs/id/1.0.0";
inline constexpr std::string_view identify_push_protocol = "/ipfs/id/push/1.0.0";

/// libp2p-wire.md section 17.
inline constexpr std::size_t max_identify_bytes = 8 * 1024;
inline constexpr std::size_t max_identify_messages = 10;
inline constexpr std::size_t max_identify_addresses = 256;
inline constexpr std::size_t max_identify_protocols = 1024;
inline constexpr std::size_t max_agent_bytes = 256;

struct Identify {
    Bytes public_key{};
    std::vector<Multiaddr> listen_addresses{};
    std::vector<std::string> protocols{};
    std::optional<Multiaddr> observed_address{};
    std::string protocol_version{};
    std::string agent{};
};

Bytes encode(Identify const& identify);

/// Merges one message into `identify`: scalars are overwritten, lists appended. Addresses of unknown kinds are skipped.
/// Errors: `malformed`, `too_large`.
Result<void> merge(Identify& identify, ByteView message);

/// Reads the messages of a stream until its end. Errors: also those of the stream.
Task<Result<Identify>> read_identify(ByteStream& stream);

}  // namespace plexus::host
