#pragma once

#include <memory>
#include <string_view>

#include "host/host.h"

namespace plexus::host {

inline constexpr std::string_view ping_protocol = "/ipfs/ping/1.0.0";

/// Sends back what it gets, until the other side ends.
Task<> serve_ping(std::unique_ptr<Stream> stream);

/// One round trip on a fresh `stream`, which it ends. Errors: `timed_out`, `malformed` if another answer came, and those
/// of the stream.
Task<Result<Duration>> measure_ping(Env& env, Stream& stream, Deadline deadline);

}  // namespace plexus::host
