#pragma once

#include "host/host.h"
#include "host/scope.h"
#include "host/upgrade.h"
#include "muxer/yamux.h"
#include "negotiation/multistream.h"

namespace plexus::host {

/// One encrypted, muxed connection: a reader and a writer task around the sans-I/O parts, and the streams on it.
///
/// Shared between the host and the open streams; `run` must have ended before the last owner lets go.
class Connection final : public std::enable_shared_from_this<Connection>, private muxer::YamuxEvents {
public:
    /// Serves one stream that the other side opened; called as a task of the connection.
    using Accept = std::function<Task<>(std::shared_ptr<Connection>, muxer::StreamId)>;

    /// `env` must outlive the connection. `scope` is shared by all connections to the peer.
    Connection(Env& env, std::uint64_t id, Secured secured, Admission admission, Limits const& limits,
               std::shared_ptr<Scope> scope);
    ~Connection() override;

    /// Works until the connection is lost or closed; all its streams and tasks have ended then.
    Task<> run(Accept accept, Duration keep_alive);

    /// Says good-bye, sends what is left for at most a moment, closes. Returns at once.
    void close(muxer::GoAwayCode code = muxer::GoAwayCode::normal);
    /// Closes without a word.
    void abort();

    /// Opens a muxed stream, without protocol. Errors: `closed`, `unavailable`.
    Result<muxer::StreamId> open();

    // Bytes of one stream; the same contract as ByteStream.
    Task<Result<std::size_t>> read_some(muxer::StreamId stream, MutableByteView buffer);
    Task<Result<void>> write(muxer::StreamId stream, ByteView bytes);
    void close_write(muxer::StreamId stream);
    void reset(muxer::StreamId stream);
    /// Nobody reads or writes this stream any more.
    void release(muxer::StreamId stream);

    std::uint64_t id() const { return id_; }
    PeerId const& peer() const { return peer_; }
    crypto::PublicKey const& peer_key() const { return peer_key_; }
    crypto::Digest32 const& channel_binding() const { return channel_binding_; }
    Direction direction() const { return direction_; }
    Admission admission() const { return admission_; }
    void set_admission(Admission admission) { admission_ = admission; }
    Multiaddr const& remote_address() const { return remote_address_; }
    Endpoint local_endpoint() const { return socket_->local_endpoint(); }
    bool closed() const { return closed_; }
    /// It takes no new streams, here or there.
    bool is_ending() const { return closing_ || closed_ || other_side_leaves_; }
    std::shared_ptr<Scope> const& scope() const { return scope_; }
    std::size_t streams() const { return streams_.size(); }
    Duration round_trip() const { return session_.round_trip().value_or(Duration::zero()); }
    TaskScope& tasks() { return tasks_; }

    ConnectionUse use = ConnectionUse::main;
    std::string agent;
    std::vector<std::string> protocols;  ///< from identify
    bool identified = false;
    bool has_news = false;       ///< a push of ours waits to be sent
    std::size_t news_heard = 0;  ///< pushes of the other side that are being read

private:
    struct StreamState {
        StreamState(Executor executor, std::shared_ptr<Scope> counted)
            : scope(std::move(counted)), changed(std::move(executor))
        {
            scope->add_stream();
        }
        ~StreamState()
        {
            drop();
            scope->remove_stream();
        }
        void drop();
        std::size_t take(MutableByteView buffer);

        std::shared_ptr<Scope> scope;
        Bytes inbox;
        std::size_t taken = 0;  // of the front of inbox
        MutableByteView waiting_read;
        std::size_t direct = 0;  // bytes put straight into waiting_read
        bool ended = false;
        bool remote_ended = false;
        bool reset = false;
        bool released = false;  // nobody reads; kept until the other side ends too
        bool sent = true;
        Signal changed;
    };

    bool on_stream(muxer::StreamId stream) override;
    void on_data(muxer::StreamId stream, ByteView body) override;
    void on_end(muxer::StreamId stream) override;
    void on_reset(muxer::StreamId stream) override;
    void on_sent(muxer::StreamId stream) override;
    void on_round_trip(Duration) override {}
    void on_go_away(std::uint32_t) override { other_side_leaves_ = true; }

    void keep(StreamState& stream, ByteView body);
    Task<> read_loop();
    Task<> write_loop();
    Task<> keep_alive_loop(Duration interval);
    Result<void> take_frames();
    Result<void> take_plaintext(ByteView plaintext);
    std::size_t fill_output();
    void wake_writer() { writable_.notify(); }
    void end_soon();
    void finish();

    Env& env_;
    std::uint64_t id_;
    std::unique_ptr<Socket> socket_;
    security::FrameSealer sealer_;
    security::FrameOpener opener_;
    PeerId peer_;
    crypto::PublicKey peer_key_;
    crypto::Digest32 channel_binding_;
    Direction direction_;
    Admission admission_;
    Multiaddr remote_address_;
    muxer::YamuxSession session_;
    std::optional<negotiation::Initiator> muxer_proposal_;
    std::optional<negotiation::Responder> muxer_answer_;
    std::size_t max_streams_;
    std::size_t max_stranger_streams_;
    std::shared_ptr<Scope> scope_;
    Bytes raw_output_;        // the last handshake message
    Bytes plaintext_output_;  // muxer negotiation, before all frames
    Bytes received_;
    std::size_t received_size_ = 0;
    Bytes output_;
    std::map<muxer::StreamId, std::shared_ptr<StreamState>> streams_;
    Accept accept_;
    Signal writable_;
    Signal ended_;
    bool closing_ = false;
    bool closed_ = false;
    bool other_side_leaves_ = false;
    Env::TimerId close_timer_ = 0;
    TaskScope tasks_;
};

}  // namespace plexus::host
