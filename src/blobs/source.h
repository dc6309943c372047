#pragma once

#include <deque>
#include <memory>

#include "blobs/blob_message.h"
#include "host/host.h"

namespace plexus::blobs {

using multiformats::PeerId;

/// How long a source may take; one that is over it is left.
inline constexpr auto open_limit = std::chrono::seconds(10);
inline constexpr auto offer_limit = std::chrono::seconds(30);   ///< it may have to read the list, or to make it
inline constexpr auto silence_limit = std::chrono::seconds(15);  ///< without part_bytes more of a piece
inline constexpr std::size_t part_bytes = 256 * 1024;

/// The fetching side of one stream of /plexus/blob/1.
class Source {
public:
    /// `env` and `host` must outlive it.
    Source(Env& env, host::Host& host, PeerId peer, ModelDigest model)
        : env_(env), host_(host), peer_(std::move(peer)), model_(model)
    {
    }

    PeerId const& peer() const { return peer_; }

    /// Opens the stream and asks for the model; gives the list that the source has, `known` if it is the same.
    /// Errors: as Host::open_stream, `malformed` (the source is at fault), and what the source says.
    Task<Result<std::shared_ptr<PieceList const>>> open(std::shared_ptr<PieceList const> known);

    /// Asks for a piece; answers come in the order of the requests.
    Task<Result<void>> request(std::uint32_t piece);
    /// The bytes of the piece that was asked for first. They are not checked. Errors: `timed_out` when the source
    /// falls silent, `malformed`, `closed`, and what the source says.
    Task<Result<std::shared_ptr<Bytes>>> receive(PieceList const& list);

    std::size_t requested() const { return requested_.size(); }
    /// The piece that was asked for first; there must be one.
    std::uint32_t next() const { return requested_.front(); }
    /// Ends it in order.
    Task<> close();
    void reset();

private:
    Task<Result<Answer>> read_answer(std::size_t limit, Duration patience);

    Env& env_;
    host::Host& host_;
    PeerId peer_;
    ModelDigest model_;
    std::unique_ptr<host::Stream> stream_;
    std::deque<std::uint32_t> requested_;
};

}  // namespace plexus::blobs
