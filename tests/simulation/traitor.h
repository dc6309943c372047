#pragma once

#include "simulation/stranger.h"
#include "simulation/simulated_device.h"

namespace plexus::simulation {

/// A member whose device was taken over: it has the key, and speaks the protocols as it likes.
class Traitor {
public:
    /// Takes over `member`, which must have stopped; its environment is used from now on.
    Traitor(sim::SimEnv& env, crypto::KeyPair key, std::vector<ModelFile> const& models, PeerId stranger, Findings& findings);

    PeerId const& id() const { return host_->local_peer(); }

    /// One attack of a random kind on a member, at most 10 s long.
    Task<> attack(Stranger::Victim victim);
    Task<> stop();

private:
    Task<> serve_task(std::unique_ptr<host::Stream> stream);
    Task<> serve_nonsense(std::unique_ptr<host::Stream> stream);
    Task<> send_nonsense(Stranger::Victim victim);
    Task<> send_forged_log(Stranger::Victim victim);
    Task<> send_false_catalog(Stranger::Victim victim);
    Task<> flood(Stranger::Victim victim);
    Task<> say(Stranger::Victim victim, std::string protocol, Bytes bytes, Duration stay);
    Bytes forged_entries();
    Bytes false_snapshot(std::uint64_t sequence);

    sim::SimEnv& env_;
    crypto::KeyPair key_;
    std::vector<ModelFile> const& models_;
    PeerId stranger_;
    Findings& findings_;
    OpenGater gater_;
    std::unique_ptr<host::Host> host_;
    membership::Log log_;
};

}  // namespace plexus::simulation
