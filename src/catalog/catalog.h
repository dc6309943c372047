#pragma once

#include <functional>
#include <memory>

#include "base/env.h"
#include "catalog/snapshot.h"
#include "host/host.h"

namespace plexus::catalog {

using multiformats::PeerId;

inline constexpr std::string_view catalog_protocol = "/plexus/catalog/1";

enum class State {
    ready,  ///< this device, or one whose catalog stream is open now
    away,   ///< heard of before, not connected now; never to be selected
};

/// A device and the last that it said of itself.
struct Entry {
    PeerId device;
    bool is_self = false;
    State state = State::away;
    Time heard{};  ///< when the snapshot came
    std::shared_ptr<Snapshot const> snapshot;  ///< never null
};

/// A device that holds a model; `model` points into the entry's snapshot.
struct Holder {
    Entry entry;
    Model const* model = nullptr;
};

/// A model in memory on this device.
struct LoadedModel {
    ModelDigest digest;
    LoadedState state;
};

struct Options {
    std::string version = PLEXUS_VERSION;
};

/// Knows what every member offers, and tells every connected member what this device offers: at once on connect, then
/// on change, at most every 500 ms. Nothing is kept across restarts.
class Catalog {
public:
    virtual ~Catalog() = default;

    /// Reads the hardware and begins to serve and to send. Once. `host` must outlive `stop()`, and the catalog the
    /// host's `stop()`.
    virtual void start(host::Host& host) = 0;

    /// What this device can compute on beside its processor. None before.
    virtual void set_gpus(std::vector<Gpu> gpus) = 0;
    /// What this device holds. `loaded` and `speed` of the models are ignored: they come from the calls below.
    virtual void set_models(std::vector<Model> models) = 0;
    virtual void set_loaded(std::vector<LoadedModel> models) = 0;
    virtual void set_load(std::uint32_t running, std::uint32_t queued) = 0;
    /// Whether the owner wants no tasks of other members here.
    virtual void set_paused(bool paused) = 0;
    /// Tokens per second of one answer on this device; zero where nothing was measured.
    virtual void observe(ModelDigest const& model, double prefill_per_second, double decode_per_second) = 0;

    /// This device first, then the others in the order of their ids. Empty before `start`.
    virtual std::vector<Entry> entries() const = 0;
    /// Devices that hold the model, this one first; those that are away too.
    virtual std::vector<Holder> who_holds(ModelDigest const& model) const = 0;
    /// The same for a name, compared byte by byte; several models may bear it.
    virtual std::vector<Holder> who_holds(std::string_view name) const = 0;
    /// Drops what is known of a device that is no member any more.
    virtual void forget(PeerId const& device) = 0;

    /// Called on the loop after an entry has changed, until `stop`, which it must not call.
    virtual void on_change(std::function<void()> action) = 0;

    /// Joins all tasks. Must be awaited before destruction, before the host's `stop()`.
    virtual Task<> stop() = 0;
};

/// `env` must outlive it.
std::unique_ptr<Catalog> make_catalog(Env& env, Options options = {});

}  // namespace plexus::catalog
