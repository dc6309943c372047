#pragma once

#include "simulation/mesh.h"

namespace plexus::simulation {

/// Troubles a mesh by the seed: links, crashes, engines, disks, clocks, attacks, tasks, and people who pair and remove.
class Faults {
public:
    /// `background` must be joined before the mesh ends.
    Faults(Mesh& mesh, TaskScope& background) : mesh_(mesh), background_(background) {}

    /// One random trouble.
    void next();
    /// One random attack, if the attackers are there.
    void attack();
    /// One task of a random device.
    void ask();
    /// Ends all troubles: links, clocks, disks and engines are as new, every device is up.
    void heal();

private:
    SimulatedDevice& any_device();
    void change_link();
    void isolate();
    void power_off();
    void trouble_engine();
    void trouble_disk();
    void change_members();
    Task<> part_of_the_mesh_again(std::vector<std::pair<std::string, std::string>> links, Duration after);
    Task<> off_and_on(SimulatedDevice& device, int how, Duration away);
    Task<> engine_recovers(SimulatedDevice& device, Duration after);
    Task<> disk_recovers(SimulatedDevice& device, Duration after);
    Task<> join(SimulatedDevice& device, std::string link);

    Mesh& mesh_;
    TaskScope& background_;
};

}  // namespace plexus::simulation
