#pragma once

#include "muxer/yamux.h"

namespace plexus::muxer {

/// Keeps what a session told.
struct Recorder : YamuxEvents {
    std::map<StreamId, Bytes> received;
    std::vector<StreamId> opened, ended, resets, sent;
    std::vector<Duration> round_trips;
    std::optional<std::uint32_t> gone;
    bool accepting = true;

    bool on_stream(StreamId stream) override;
    void on_data(StreamId stream, ByteView body) override;
    void on_end(StreamId stream) override;
    void on_reset(StreamId stream) override;
    void on_sent(StreamId stream) override;
    void on_round_trip(Duration round_trip) override;
    void on_go_away(std::uint32_t code) override;
};

/// Two sessions, `left` the dialer, joined by nothing but the test.
struct Pair {
    Recorder left_events, right_events;
    YamuxSession left, right;
    Time now{std::chrono::seconds(1)};

    explicit Pair(YamuxLimits limits = {});

    /// What the session wants to send now, at most `room` bytes.
    static Bytes output(YamuxSession& session, std::size_t room = 65519);

    /// Moves frames both ways until both are silent, `step` bytes at a time. The first error on either side.
    Result<void> flow(std::size_t step = 100'000);

    /// Takes what `right` received on the stream out and gives its credit back.
    std::size_t read_right(StreamId stream);
};

}  // namespace plexus::muxer
