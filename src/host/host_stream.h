#pragma once

#include "host/connection.h"

namespace plexus::host {

/// The user's end of a muxed stream. Negotiates lazily: an own stream's proposal travels with the first bytes, and its
/// answer is checked on the first read.
class HostStream final : public Stream {
public:
    /// A stream we opened.
    HostStream(std::shared_ptr<Connection> connection, muxer::StreamId id, std::string protocol);
    /// A stream the other side opened, negotiated; `early` came behind the proposal.
    HostStream(std::shared_ptr<Connection> connection, muxer::StreamId id, std::string protocol, Bytes early);
    ~HostStream() override;

    Task<Result<std::size_t>> read_some(MutableByteView buffer) override;
    Task<Result<void>> write(ByteView bytes) override;
    Task<Result<void>> close_write() override;
    void reset() override;

    PeerId const& peer() const override { return connection_->peer(); }
    std::string const& protocol() const override { return protocol_; }
    Multiaddr const& remote_address() const override { return connection_->remote_address(); }
    Connection& connection() { return *connection_; }

    /// Sends the proposal and waits for its answer.
    Task<Result<void>> finish_negotiation();

private:
    Task<Result<void>> send_proposal();

    std::shared_ptr<Connection> connection_;
    muxer::StreamId id_;
    std::string protocol_;
    std::optional<negotiation::Initiator> proposal_;
    bool proposed_ = false;
    Bytes early_;
};

}  // namespace plexus::host
