#pragma once

#include <set>

#include "simulation/simulated_device.h"
#include "simulation/traitor.h"

namespace plexus::simulation {

/// All parts of one run.
struct Mesh {
    explicit Mesh(std::uint64_t seed) : world(seed), findings(world) {}

    std::uint64_t below(std::string_view what, std::uint64_t bound) { return world.random(what).below(bound); }
    Duration between(std::string_view what, Duration least, Duration most)
    {
        return least + Duration(static_cast<std::int64_t>(below(what, static_cast<std::uint64_t>((most - least).count()) + 1)));
    }

    bool is_member(SimulatedDevice& device) const
    {
        return device.is_up() && device.device().membership().mesh_id() == id &&
               device.device().membership().find(device.id()).has_value() && !revoked.contains(device.id());
    }

    sim::World world;
    Findings findings;
    membership::EntryId id{};
    std::vector<ModelFile> models;
    std::vector<std::unique_ptr<SimulatedDevice>> devices;  ///< the first founds the mesh
    std::unique_ptr<SimulatedDevice> turncoat;              ///< until it is taken over
    std::unique_ptr<Stranger> stranger;
    std::unique_ptr<Traitor> traitor;
    std::set<PeerId> revoked;
    bool at_peace = false;
    std::uint64_t faults = 0;
    std::uint64_t attacks = 0;
};

}  // namespace plexus::simulation
