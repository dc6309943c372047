#pragma once

#include "simulation/mesh.h"

namespace plexus::simulation {

/// What must hold at every moment of a run, and whether the mesh has come together after it.
class Checks {
public:
    explicit Checks(Mesh& mesh) : mesh_(mesh) {}

    /// Cheap enough for twice a simulated second.
    void look();
    /// Why the devices are not of one mind yet; empty once they are.
    std::string disagreement();

private:
    void check_bounds(SimulatedDevice& device);
    void check_members(SimulatedDevice& device);
    void check_catalog(SimulatedDevice& device);
    std::string disagreement_of(SimulatedDevice& device, SimulatedDevice& other);

    Mesh& mesh_;
    /// The latest life of a device (second) that a device in its present life (first, its number) has heard of.
    std::map<std::tuple<std::string, std::size_t, std::string>, std::size_t> heard_;
};

}  // namespace plexus::simulation
