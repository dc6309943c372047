#pragma once

#include "scheduling/placement.h"

namespace plexus::scheduling {

using catalog::ModelDigest;

/// Limits of what is remembered; the oldest is forgotten.
inline constexpr std::size_t max_remembered_devices = 256;  ///< pairs of a device and a model
inline constexpr std::size_t max_remembered_models = 256;
inline constexpr std::size_t max_remembered_prompts = 4;    ///< of one such pair
inline constexpr std::size_t prompt_block_bytes = 256;
inline constexpr std::size_t max_prompt_blocks = 512;

/// A prompt as it is remembered: what its beginnings of one, two, three blocks hash to.
using PromptBlocks = std::vector<std::uint64_t>;
PromptBlocks blocks_of(std::string_view body);

/// How a task went that this device had placed.
struct Outcome {
    Work work;  ///< as it was expected
    Prediction prediction;
    std::uint64_t prompt_tokens = 0;  ///< as it was
    std::uint64_t output_tokens = 0;
    std::string_view body{};
    Duration took{};
};

/// What this device has seen of answers to its own tasks: how long they are, what the devices have read, and how much longer
/// than foretold they take. A device that overstates its speed is found out by its first answers. Kept in memory alone.
class Experience {
public:
    /// Of a task with that body.
    Work work(ModelDigest const& model, std::string_view body) const;
    /// Tokens of the prompt that the device has read for this device before.
    double known_tokens(PeerId const& device, ModelDigest const& model, PromptBlocks const& blocks) const;
    double correction(PeerId const& device, ModelDigest const& model) const;

    void note(PeerId const& device, ModelDigest const& model, PromptBlocks blocks, Outcome const& outcome);

    /// Tasks that came out within a quarter of what was foretold for the tokens that they had, and all.
    std::uint64_t foretold() const { return foretold_; }
    std::uint64_t noted() const { return noted_; }

private:
    struct OfModel {
        double bytes_per_token = 4;
        double output_tokens = 256;  // where nothing limits it
        double share_of_limit = 1;  // that is used where something does
        bool is_new = true;
    };
    struct OfDevice {
        double correction = 1;
        std::deque<PromptBlocks> prompts;
        std::uint64_t last = 0;
    };
    using Pair = std::pair<PeerId, ModelDigest>;

    static void learn(OfModel& known, Outcome const& outcome);
    OfModel of_model(ModelDigest const& model) const;
    OfDevice& entry_of(Pair const& pair);

    std::map<ModelDigest, OfModel> models_;
    std::map<Pair, OfDevice> devices_;
    std::uint64_t noted_ = 0;
    std::uint64_t foretold_ = 0;
};

}  // namespace plexus::scheduling
