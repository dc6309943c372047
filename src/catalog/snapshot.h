#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/digest.h"

namespace plexus::catalog {

using ModelDigest = crypto::Digest32;

/// Limits of what one device says of itself.
inline constexpr std::size_t max_snapshot_bytes = 512 * 1024;
inline constexpr std::size_t max_models = 256;
inline constexpr std::size_t max_names_per_model = 8;
inline constexpr std::size_t max_gpus = 16;
inline constexpr std::size_t max_text_bytes = 128;  ///< of a name, a version, a processor; printable ASCII

/// What a device can compute on beside its processor.
struct Gpu {
    std::string name;
    std::uint64_t memory_bytes = 0;

    bool operator==(Gpu const&) const = default;
};

/// What a device is built of. Zero or empty: not known.
struct Hardware {
    std::string processor;  ///< "AMD Ryzen 9 7950X 16-Core Processor"
    std::uint32_t cores = 0;  ///< that run threads at the same time
    std::uint64_t memory_bytes = 0;
    std::uint64_t free_memory_bytes = 0;  ///< what programs could still get
    std::vector<Gpu> gpus{};

    bool operator==(Hardware const&) const = default;
};

/// Tokens per second. Before the first observation an estimate.
struct Rate {
    double per_second = 0;
    std::uint32_t observations = 0;

    bool is_estimate() const { return observations == 0; }
    bool operator==(Rate const&) const = default;
};

struct Speed {
    Rate prefill;
    Rate decode;

    bool operator==(Speed const&) const = default;
};

/// A model in memory.
struct LoadedState {
    std::uint32_t slots = 0;
    std::uint32_t busy = 0;
    std::uint32_t context = 0;  ///< tokens a slot

    bool operator==(LoadedState const&) const = default;
};

/// What a model is made for; bits, as on the wire.
enum Capability : std::uint32_t {
    can_chat = 1,    ///< and complete texts
    can_embed = 2,
    can_rerank = 4,
};

/// A model that a device holds.
struct Model {
    ModelDigest digest;
    std::vector<std::string> names;  ///< the first is the main one
    std::uint64_t size_bytes = 0;
    std::string architecture;
    std::string quantization;
    std::uint64_t parameters = 0;
    std::uint32_t context_length = 0;  ///< tokens that it would be loaded with a slot; `loaded` has what is so now
    std::uint32_t capabilities = can_chat;  ///< bits of Capability
    std::uint64_t created_seconds = 0;  ///< since 1970
    bool is_external = false;           ///< served by an engine that the owner runs: no file, and no walls of ours
    std::optional<LoadedState> loaded;  ///< filled by the catalog
    Speed speed;                        ///< filled by the catalog

    bool operator==(Model const&) const = default;
};

/// What a device offers at one moment.
struct Snapshot {
    std::uint64_t boot_epoch = 0;  ///< wall clock in milliseconds when the daemon started
    std::uint64_t sequence = 0;    ///< counts from 1 within the epoch
    std::string version;
    Hardware hardware;
    std::vector<Model> models;
    std::uint32_t running = 0;  ///< tasks under way
    std::uint32_t queued = 0;   ///< tasks that wait
    bool is_paused = false;  ///< its owner wants no tasks of others there

    Model const* find(ModelDigest const& digest) const;
    bool operator==(Snapshot const&) const = default;
};

/// The message of /plexus/catalog/1. What is over a limit is left out. Spec: docs/protocols/catalog.md.
Bytes encode(Snapshot const& snapshot);

/// Errors: `malformed`, `too_large` over a limit. Unknown fields are skipped.
Result<Snapshot> decode_snapshot(ByteView message);

}  // namespace plexus::catalog
