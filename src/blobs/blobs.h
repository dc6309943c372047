#pragma once

#include "blobs/holder.h"
#include "catalog/catalog.h"

namespace plexus::blobs {

inline constexpr std::string_view blob_protocol = "/plexus/blob/1";

/// A model of the mesh that this device wants to hold too.
struct Wanted {
    ModelDigest model;
    std::string name{};            ///< in the store of this device; empty: that of the holders
    std::optional<PeerId> from{};  ///< only from there
};

struct CopyProgress {
    enum class Stage {
        checking,  ///< what an earlier copy left; `done_bytes` of it were right
        copying,
    };
    struct Source {
        PeerId device;
        std::uint64_t bytes = 0;  ///< right ones that came from it in this copy
    };
    Stage stage = Stage::copying;
    std::uint64_t done_bytes = 0;   ///< of the model, those of earlier copies too
    std::uint64_t total_bytes = 0;  ///< 0: not known yet
    double bytes_per_second = 0;    ///< over the last seconds
    std::vector<Source> sources;    ///< that take part now, or did
};

struct Options {
    HolderLimits holder;
    /// The name of a device for people; nothing set: the end of its id.
    std::function<std::string(PeerId const&)> name_of;
};

/// Copies models between the members of the mesh, and gives those of this device to members.
class Blobs {
public:
    virtual ~Blobs() = default;

    /// Copies a model from all devices that hold it, several at once, into the store; every piece is checked when it
    /// comes. A source that lies, falls silent or goes is left, and named in the log; the others go on. What came stays
    /// when the copy ends early, for the next one. Cancelling ends the copy. `progress` is called on the loop, about four
    /// times a second, until the task ends. A model that is here already is the result at once.
    /// Errors: `not_found` (nobody holds it), `unavailable` (no holder is there, or none gives it), `conflict` (the name
    /// is taken, or a copy is under way), `malformed` (name; or it is no model that can be used), `out_of_space`, `io`,
    /// `closed` (this device stops).
    virtual Task<Result<models::Model>> copy(Wanted wanted, std::function<void(CopyProgress const&)> progress) = 0;

    /// Ends all copies, both ways, and joins. Must be awaited before destruction and before `stop()` of the host and the
    /// catalog.
    virtual Task<> stop() = 0;
};

/// Begins to serve at once. All that is borrowed must outlive it.
std::unique_ptr<Blobs> make_blobs(Env& env, host::Host& host, catalog::Catalog& catalog, models::Store& store,
                                  Options options = {});

}  // namespace plexus::blobs
