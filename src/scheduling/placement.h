#pragma once

#include "catalog/catalog.h"

namespace plexus::scheduling {

using multiformats::PeerId;

/// A device that could run a task: a ready holder of the model.
struct Candidate {
    PeerId device;
    bool is_self = false;
    bool is_loaded = false;
    std::uint32_t running = 0;
    std::uint32_t queued = 0;
    catalog::Speed speed;
};

struct Choice {
    std::size_t candidate = 0;  ///< index into the candidates
    std::string reason;         ///< one clause for people: "it holds the model itself"
};

/// Decides where a task runs. A pure function of what it is given.
class Placement {
public:
    virtual ~Placement() = default;
    /// The candidates in the order in which they are to be tried; some may be left out.
    virtual std::vector<Choice> rank(std::vector<Candidate> const& candidates) const = 0;
};

/// This device if it holds the model; else by decode speed (about a tenth apart counts as equal), then those with the
/// model in memory, then the shorter queue, then by id.
std::unique_ptr<Placement> make_simple_placement();

}  // namespace plexus::scheduling
