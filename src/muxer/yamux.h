#pragma once

#include <deque>
#include <map>
#include <optional>

#include "base/bytes.h"
#include "base/time.h"
#include "muxer/used_ids.h"
#include "muxer/yamux_frame.h"

namespace plexus::muxer {

inline constexpr std::string_view yamux_protocol = "/yamux/1.0.0";

enum class Side { dialer, listener };

enum class GoAwayCode : std::uint32_t { normal = 0, protocol_error = 1, internal_error = 2 };

/// Hard limits of one session. libp2p-wire.md section 10.5.
struct YamuxLimits {
    std::uint32_t initial_window = 256 * 1024;  ///< fixed by the protocol
    std::uint32_t max_window = 16 * 1024 * 1024;
    /// Windows grow only while all together stay below; a stream whose data would bring the unread bytes of the whole
    /// session over it is reset.
    std::uint64_t total_window = 64 * 1024 * 1024;
    std::size_t inbound_streams = 512;
    std::size_t unacknowledged_streams = 256;  ///< own streams that the other side has not answered
    std::size_t pending_control_frames = 1024;
    std::size_t max_body = 64 * 1024;  ///< of one data frame that we write
};

/// What happens on a session. Called from `push` and `write_frames`; must not call back into the session.
class YamuxEvents {
public:
    virtual ~YamuxEvents() = default;
    /// The other side opens a stream; false refuses it with a reset.
    virtual bool on_stream(StreamId stream) = 0;
    /// `body` is borrowed until the call ends. It counts against the window until `consumed`.
    virtual void on_data(StreamId stream, ByteView body) = 0;
    /// The other side ended its direction.
    virtual void on_end(StreamId stream) = 0;
    /// The stream is gone: reset by the other side, or here because a limit was passed.
    virtual void on_reset(StreamId stream) = 0;
    /// All bytes of the last `offer` have been put into frames.
    virtual void on_sent(StreamId stream) = 0;
    virtual void on_round_trip(Duration round_trip) = 0;
    /// The other side takes no new streams.
    virtual void on_go_away(std::uint32_t code) = 0;
};

/// Yamux without I/O. Spec: hashicorp/yamux spec.md, libp2p/specs yamux; libp2p-wire.md section 10.
///
/// Received bytes go into `push`. Frames to send come from `write_frames`, which copies offered bytes straight into the
/// caller's buffer: control frames first, then one data frame for each ready stream in turn. After an error the session
/// is spent: write what is left (a GoAway), then close the connection.
///
/// A stream lives until both directions have ended and all its bytes were consumed, or until a reset. Calls that name a
/// stream which is gone do nothing.
class YamuxSession {
public:
    YamuxSession(Side side, YamuxLimits limits, YamuxEvents& events);

    /// Takes received bytes, whole frames or parts. Errors: `malformed`, `too_large` (the other side makes us answer
    /// but does not read), `closed` after an earlier error.
    Result<void> push(ByteView received, Time now);

    /// Errors: `unavailable` when too many own streams wait for an answer or ids are used up; `closed` after GoAway.
    Result<StreamId> open_stream();

    /// Bytes to send on the stream, borrowed until `on_sent` or `withdraw`. One offer at a time.
    /// False if the stream is gone or its direction has been ended.
    bool offer(StreamId stream, ByteView bytes);
    /// Takes an unfinished offer back; the stream is then fit for reset only.
    void withdraw(StreamId stream);
    /// Ends our direction behind what was offered.
    void close_write(StreamId stream);
    /// Ends both directions at once; the other side is told.
    void reset(StreamId stream);
    /// The application has read `count` bytes: credit for as many goes back, in large steps.
    void consumed(StreamId stream, std::size_t count, Time now);
    /// Nobody reads this stream any more; our own direction goes on to its end. What still arrives is dropped, and a
    /// sender that goes on until its window is used up is reset.
    void discard(StreamId stream, Time now);

    /// Asks for a round trip; false if one is under way.
    bool ping(Time now);
    void go_away(GoAwayCode code);

    bool has_output() const { return !control_.empty() || !updates_.empty() || !ready_.empty(); }
    /// Fills `out` (at least 1 KiB) with frames and gives the count of bytes; 0 when there is nothing to send.
    std::size_t write_frames(MutableByteView out);

    std::optional<Duration> round_trip() const { return round_trip_; }
    std::size_t streams() const { return streams_.size(); }
    /// Received bytes that nobody has consumed yet.
    std::uint64_t unread() const { return unread_; }

private:
    struct Stream {
        bool own = false;
        bool opening = false;       // the next frame carries SYN
        bool answering = false;     // the next frame carries ACK
        bool acknowledged = false;
        bool ready = false;         // stands in ready_
        bool updating = false;      // stands in updates_
        bool ending = false;        // FIN is to be sent
        bool ended = false;         // FIN was sent
        bool remote_ended = false;
        bool discarding = false;    // what arrives is dropped
        std::uint64_t send_credit = 0;
        std::uint32_t receive_credit = 0;
        std::uint32_t window = 0;  // receive_credit + unread + what is owed as credit in the next step
        std::uint64_t unread = 0;
        std::uint32_t update = 0;  // credit that the next window update gives
        Time last_update{};
        ByteView offered;
    };

    // Receiving, yamux.cpp.
    void take_body(ByteView& received);
    Result<void> take_frame(FrameHeader const& frame, Time now);
    Result<void> take_ping(FrameHeader const& frame, Time now);
    Result<void> take_stream_frame(FrameHeader const& frame, Time now);
    Result<Stream*> accept(FrameHeader const& frame);
    Result<void> take_open_frame(FrameHeader const& frame, Stream& stream, Time now);
    Result<void> take_data(FrameHeader const& frame, Stream& stream, Time now);
    Result<void> take_credit(FrameHeader const& frame, Stream& stream);
    void end_remote(StreamId id, Stream& stream);
    std::unexpected<Error> violation(std::string_view text);

    // Sending, yamux_send.cpp.
    std::uint16_t take_flags(Stream& stream);
    std::size_t write_control(MutableByteView out);
    std::size_t write_stream_frame(StreamId id, Stream& stream, MutableByteView out);
    void make_ready(StreamId id, Stream& stream);
    bool has_work(Stream const& stream) const;
    std::uint32_t grown_window(Stream const& stream, Time now) const;

    // Both.
    Stream& add_stream(StreamId id, bool own);
    Stream* find(StreamId id);
    Result<void> answer(FrameHeader frame);
    void stop_unheard(StreamId id, Stream const& stream);
    void forget_if_done(StreamId id, Stream const& stream);
    void forget(StreamId id);

    Side side_;
    YamuxLimits limits_;
    YamuxEvents& events_;
    std::map<StreamId, Stream> streams_;
    std::deque<FrameHeader> control_;  // written first
    std::deque<StreamId> updates_;     // streams with credit to give, written next
    std::deque<StreamId> ready_;       // streams with frames to write, in turn
    std::uint64_t next_id_;
    UsedIds remote_ids_;
    std::size_t inbound_ = 0;
    std::size_t unacknowledged_ = 0;
    std::uint64_t window_sum_ = 0;
    std::uint64_t unread_ = 0;
    std::array<std::byte, FrameHeader::size> header_{};
    std::size_t header_filled_ = 0;
    std::uint32_t body_left_ = 0;
    StreamId body_stream_ = 0;
    bool body_ends_stream_ = false;
    bool remote_gone_ = false;
    bool broken_ = false;
    std::optional<Time> ping_sent_;
    std::uint32_t ping_value_ = 0;
    std::optional<Duration> round_trip_;
};

}  // namespace plexus::muxer
