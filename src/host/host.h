#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "crypto/keys.h"
#include "multiformats/multiaddr.h"
#include "multiformats/peer_id.h"

namespace plexus::host {

using multiformats::Multiaddr;
using multiformats::PeerId;

enum class Direction { inbound, outbound };

/// What a connection may carry, decided by the gater right after the security handshake. Ordered: more is greater.
enum class Admission {
    refused,  ///< closed at once, without a byte of any protocol
    pairing,  ///< only protocols opened to `pairing`; no identify
    member,   ///< every protocol
};

/// What a connection is for. Bytes in bulk go on connections of their own, behind which nothing else waits.
enum class ConnectionUse { main, bulk };

/// Decides who may connect. Called on the loop; answers at once from what is known.
class Gater {
public:
    virtual ~Gater() = default;
    /// Before a socket is opened to `to`, and when one is accepted from it.
    virtual bool allow_address(Endpoint const& to, Direction direction) = 0;
    /// Right after the security handshake proved `peer`, and again on Host::reconsider().
    virtual Admission admit(PeerId const& peer, Direction direction) = 0;
};

/// A muxed stream on which the protocol has been agreed.
class Stream : public ByteStream {
public:
    virtual PeerId const& peer() const = 0;
    virtual std::string const& protocol() const = 0;
    /// Address of the other end of the connection, without /p2p.
    virtual Multiaddr const& remote_address() const = 0;
};

/// Serves one incoming stream; runs as a task of the connection and is cancelled with it. The stream is reset if the
/// handler ends without closing it.
using StreamHandler = std::function<Task<>(std::unique_ptr<Stream>)>;

struct ConnectionInfo {
    std::uint64_t id = 0;
    PeerId peer;
    Direction direction = Direction::inbound;
    Admission admission = Admission::refused;
    Multiaddr remote_address;
    Duration round_trip{};  ///< latest measured; zero before the first
    std::string agent;      ///< from identify; empty before
    std::size_t streams = 0;
    ConnectionUse use = ConnectionUse::main;
};

/// Hard limits; what is over them is refused, never queued. libp2p-wire.md sections 10.5 and 30.
struct Limits {
    std::size_t connections = 128;
    std::size_t connections_per_peer = 8;
    std::size_t pending_handshakes = 64;
    /// An address is an IPv4 address or an IPv6 /56.
    std::size_t pending_handshakes_per_address = 16;
    std::size_t inbound_streams_per_connection = 512;
    std::size_t streams_per_peer = 1024;
    std::size_t streams = 2048;
    std::size_t memory_bytes_per_peer = 64 << 20;
    std::size_t memory_bytes = 256 << 20;
    Duration handshake = std::chrono::seconds(10);
    Duration negotiation = std::chrono::seconds(10);
    /// Strangers that are admitted for pairing: few, with few streams, for a while.
    std::size_t strangers = 16;
    std::size_t streams_per_stranger = 4;
    Duration pairing = std::chrono::seconds(60);
};

struct Options {
    Limits limits;
    std::string agent = "plexus-mesh/" PLEXUS_VERSION;
    std::string protocol_version = "plexus/" PLEXUS_VERSION;
    /// Ping interval of the muxer for round trips and keep-alive.
    Duration keep_alive = std::chrono::seconds(15);
};

/// A libp2p node: TCP, Noise, Yamux, identify, identify/push, ping.
class Host {
public:
    virtual ~Host() = default;

    virtual PeerId const& local_peer() const = 0;

    /// Starts to listen on "/ip4/…/tcp/…"; port 0 picks one. Gives the bound address. Errors: `conflict`, `malformed`.
    virtual Result<Multiaddr> listen(Multiaddr const& address) = 0;
    /// Where others may reach this host, without /p2p; unspecified addresses are expanded to those of the interfaces.
    virtual std::vector<Multiaddr> listen_addresses() const = 0;

    /// Serves `protocol` to connections admitted as `least` or more. Replaces an earlier handler. Members that are
    /// connected are told of a new protocol, as of a new address. A connection on which the other side opens a protocol
    /// of `bulk` is used for nothing else from here, unless it is the only one.
    virtual void handle(std::string protocol, Admission least, StreamHandler handler,
                        ConnectionUse use = ConnectionUse::main) = 0;

    /// Makes sure there is a connection to `peer`: an existing one, else dials `addresses` in their order, a few at a
    /// time: the next one after a moment, or as soon as those before have failed.
    /// Errors: `timed_out`, `refused`, `unavailable`, `not_allowed` (gater or wrong peer).
    virtual Task<Result<void>> connect(PeerId peer, std::vector<Multiaddr> addresses, Deadline deadline) = 0;

    /// Opens a stream, dialling remembered addresses if there is no connection. The proposal of `protocol` travels with
    /// the first bytes written; if the peer does not speak it, the first read gives `refused`.
    /// Errors: as connect; `refused` if identify told already; `unavailable` over a limit.
    /// With `bulk` on a second connection to the peer, which is dialled if there is none and closed when it has had no
    /// stream for a while; on the first one if the peer cannot be dialled.
    virtual Task<Result<std::unique_ptr<Stream>>> open_stream(PeerId peer, std::string protocol, Deadline deadline,
                                                              ConnectionUse use = ConnectionUse::main) = 0;

    /// `addresses`, best first, come before those that are remembered already; over a limit the last ones are forgotten.
    virtual void remember_addresses(PeerId const& peer, std::vector<Multiaddr> addresses) = 0;
    virtual std::vector<Multiaddr> remembered_addresses(PeerId const& peer) const = 0;

    /// Closes all connections to `peer`.
    virtual void disconnect(PeerId const& peer) = 0;
    /// Asks the gater again for every connection; closes at once what is refused, or may carry less, now.
    virtual void reconsider() = 0;

    virtual std::vector<ConnectionInfo> connections() const = 0;
    /// Called on the loop after the first connection admitted as member to `peer` is up, and after the last has gone;
    /// those for bulk do not count.
    virtual void on_member_connected(std::function<void(PeerId const&)> action) = 0;
    virtual void on_member_disconnected(std::function<void(PeerId const&)> action) = 0;

    /// One ping round trip on a fresh or kept ping stream.
    virtual Task<Result<Duration>> ping(PeerId peer, Deadline deadline) = 0;

    /// Closes everything and joins all tasks. Must be awaited before destruction.
    virtual Task<> stop() = 0;
};

/// `env` and `gater` must outlive the host.
std::unique_ptr<Host> make_host(Env& env, crypto::KeyPair identity, Gater& gater, Options options = {});

}  // namespace plexus::host
