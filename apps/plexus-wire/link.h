#pragma once

#include <deque>
#include <optional>
#include <random>

#include "base/bytes.h"
#include "base/time.h"

namespace plexus::wire {

/// What one direction of a link does to its packets.
struct LinkOptions {
    Duration delay{};
    std::uint64_t bits_per_second = 0;  ///< 0: no limit
    double loss = 0;                    ///< probability that a packet is dropped
    std::size_t queue_bytes = 1 << 20;  ///< what waits for its turn on the link; packets over it are dropped
    std::uint64_t seed = 1;             ///< of the losses
};

/// One direction of a link, without I/O: packets and time go in, due packets come out, in order.
class Link {
public:
    explicit Link(LinkOptions options) : options_(options), random_(options.seed) {}

    /// Takes a packet that arrived at `now`, or drops it.
    void push(ByteView packet, Time now);

    /// When the next packet is due; nothing if none is under way.
    std::optional<Time> next() const;
    /// The next packet, if it is due.
    std::optional<Bytes> pop(Time now);

    /// While cut, everything is dropped, also what is under way.
    void cut(bool is_cut);

    std::uint64_t dropped() const { return dropped_; }

private:
    struct Packet {
        Time due;
        Bytes bytes;
    };

    std::size_t waiting_bytes(Time now) const;

    LinkOptions options_;
    std::mt19937_64 random_;
    std::deque<Packet> packets_;
    Time free_at_{};  // when the link has sent all it holds
    std::uint64_t dropped_ = 0;
    bool cut_ = false;
};

}  // namespace plexus::wire
