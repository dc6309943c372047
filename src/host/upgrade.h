#pragma once

#include <functional>

#include "host/host.h"
#include "security/noise.h"

namespace plexus::host {

/// A raw connection made secure. `first_output` must be sent before any encrypted frame (the last handshake message);
/// `received` holds encrypted bytes that came behind the handshake.
struct Secured {
    std::unique_ptr<Socket> socket;
    security::SecureSession session;
    security::Role role;
    Bytes first_output;
    Bytes received;
    ConnectionUse use = ConnectionUse::main;
};

/// Is given a connection that was secured, and keeps it, or lets it go with the reason why.
using TakeSecured = std::function<Result<void>(Secured)>;

/// Runs multistream-select for /noise and the Noise handshake on `socket`, the dialer's part pipelined.
/// The dialer's last message is left in `first_output`, so that it travels with the first frames.
/// Errors: `timed_out`, `malformed`, `refused`, `not_allowed`, `closed`. The socket is closed then.
Task<Result<Secured>> secure(Env& env, std::unique_ptr<Socket> socket, crypto::KeyPair const& identity,
                             security::Role role, std::optional<PeerId> expected, Deadline deadline);

}  // namespace plexus::host
