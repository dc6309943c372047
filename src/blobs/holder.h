#pragma once

#include <map>
#include <memory>

#include "blobs/blob_message.h"
#include "host/host.h"
#include "models/store.h"

namespace plexus::blobs {

using multiformats::PeerId;

/// Hard limits of what this device gives; what is over them is refused.
struct HolderLimits {
    std::size_t streams = 8;             ///< each with three pieces in memory at most
    std::size_t streams_per_member = 4;
    Duration opening = std::chrono::seconds(10);    ///< for the first message to come whole
    Duration preparing = std::chrono::seconds(10);  ///< that an opening waits while the list of pieces is made
    Duration idle = std::chrono::seconds(60);       ///< between two requests
    Duration stall = std::chrono::seconds(60);      ///< for a piece to be taken
};

/// Gives pieces of the models of this device to members: the other side of a copy.
class Holder {
public:
    /// Both must outlive it.
    Holder(Env& env, models::Store& store, HolderLimits limits);

    /// One incoming stream of /plexus/blob/1.
    Task<> serve(std::unique_ptr<host::Stream> stream);

    std::size_t streams() const { return streams_; }

    /// Ends all and joins.
    Task<> stop();

private:
    struct Session;
    struct Counted;
    struct Preparation;
    using List = Result<std::shared_ptr<PieceList const>>;

    Task<Result<void>> serve_steps(std::shared_ptr<Session> session);
    Task<Result<void>> open(Session& session, Opening const& opening);
    Task<Result<void>> send_pieces(Session& session);
    Task<> read_requests(std::shared_ptr<Session> session);
    Task<Result<Bytes>> read_piece(Session& session);
    Task<List> list_of(ModelDigest model);
    Task<> prepare(ModelDigest model, std::shared_ptr<Preparation> preparation);

    Env& env_;
    models::Store& store_;
    HolderLimits limits_;
    std::size_t streams_ = 0;
    std::map<PeerId, std::size_t> streams_of_;
    std::map<ModelDigest, std::shared_ptr<Preparation>> preparations_;
    TaskScope tasks_;
};

}  // namespace plexus::blobs
