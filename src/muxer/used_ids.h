#pragma once

#include <bitset>

#include "muxer/yamux_frame.h"

namespace plexus::muxer {

/// Which stream ids of one side have been used, so that none is used twice. Fixed size: ids may arrive a little out of
/// order, as from peers that open streams from several threads, but not more than `reach` streams behind the newest.
class UsedIds {
public:
    static constexpr std::uint32_t reach = 1024;

    /// Marks `id`, which has the side's parity. False if it was used before or lies too far back.
    bool take(StreamId id)
    {
        auto const position = id / 2;
        if (position >= next_) {
            auto const gap = position - next_ + 1;
            for (std::uint32_t step = 0; step < std::min(gap, reach); ++step) {
                used_.reset((position - step) % reach);
            }
            next_ = position + 1;
        } else if (next_ - position > reach || used_.test(position % reach)) {
            return false;
        }
        used_.set(position % reach);
        return true;
    }

private:
    std::uint32_t next_ = 0;
    std::bitset<reach> used_;
};

}  // namespace plexus::muxer
