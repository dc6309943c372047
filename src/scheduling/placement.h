#pragma once

#include "catalog/catalog.h"

namespace plexus::scheduling {

using multiformats::PeerId;

/// What a task is expected to ask of a device.
struct Work {
    double prompt_tokens = 0;
    double output_tokens = 0;
};

/// A device that could run a task: a ready holder of the model.
struct Candidate {
    PeerId device;
    bool is_self = false;
    bool is_loaded = false;
    std::uint32_t slots = 0;  ///< answers at the same time; 0: not known
    std::uint32_t running = 0;
    std::uint32_t queued = 0;
    catalog::Speed speed;
    std::uint64_t model_bytes = 0;
    double known_tokens = 0;  ///< of the prompt, that the device has read before
    Duration round_trip{};
    double correction = 1;  ///< how much longer than foretold its answers took
};

/// How long a task is expected to take on a device, by parts.
struct Prediction {
    Duration queue{};   ///< until the answers before it are given
    Duration load{};    ///< of the model
    Duration prompt{};  ///< until it is read
    Duration answer{};  ///< from the first token to the last
    Duration travel{};  ///< to the device and back

    Duration whole() const { return queue + load + prompt + answer + travel; }
};

Prediction predict(Candidate const& candidate, Work const& work);

struct Choice {
    std::size_t candidate = 0;  ///< index into the candidates
    Prediction prediction;
    std::string reason;  ///< one clause for people: "2.1 s expected: 0.3 s for the prompt, 1.8 s for the answer"
};

/// Decides where a task runs. A pure function of what it is given.
class Placement {
public:
    virtual ~Placement() = default;
    /// The candidates in the order in which they are to be tried; some may be left out.
    virtual std::vector<Choice> rank(std::vector<Candidate> const& candidates, Work const& work) const = 0;
};

/// The one that is expected to be ready first. Times about a tenth apart count as equal; of those this device comes first, then
/// the one that has read most of the prompt, then those with the model in memory, then by id.
std::unique_ptr<Placement> make_placement();

}  // namespace plexus::scheduling
