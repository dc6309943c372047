#pragma once

#include "host/host.h"
#include "membership/invite_link.h"
#include "simulation/findings.h"

namespace plexus::simulation {

using multiformats::Multiaddr;
using multiformats::PeerId;

/// Lets everybody in, so that nothing but the other side's door stands in the way.
struct OpenGater final : host::Gater {
    bool allow_address(Endpoint const&, host::Direction) override { return true; }
    host::Admission admit(PeerId const&, host::Direction) override { return host::Admission::member; }
};

crypto::KeyPair random_key(Env& env);

/// The protocols of a member.
std::vector<std::string> const& member_protocols();

/// Bytes that are no message, or one of a size that nobody may announce.
Bytes nonsense(Random& random);

/// A key that no membership log names, with a libp2p host of its own and with raw sockets.
class Stranger {
public:
    struct Victim {
        PeerId id;
        Multiaddr address;
        bool is_up = false;
    };

    Stranger(sim::World& world, std::string name, Findings& findings);

    PeerId const& id() const { return host_->local_peer(); }

    /// A link that this stranger has seen; it was used or will be.
    void see_link(std::string const& text);

    /// One attack of a random kind, at most 10 s long.
    Task<> attack(Victim victim);
    Task<> stop() { return host_->stop(); }

private:
    Task<> try_protocol(Victim victim);
    Task<> try_pairing(Victim victim);
    Task<> send_raw(Victim victim);
    void check_connections();

    sim::World& world_;
    Findings& findings_;
    sim::SimEnv& env_;
    OpenGater gater_;
    std::unique_ptr<host::Host> host_;
    std::vector<membership::InviteLink> links_;
};

}  // namespace plexus::simulation
