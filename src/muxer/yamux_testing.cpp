#include "muxer/yamux_testing.h"

namespace plexus::muxer {

bool Recorder::on_stream(StreamId stream)
{
    opened.push_back(stream);
    return accepting;
}

void Recorder::on_data(StreamId stream, ByteView body) { append(received[stream], body); }
void Recorder::on_end(StreamId stream) { ended.push_back(stream); }
void Recorder::on_reset(StreamId stream) { resets.push_back(stream); }
void Recorder::on_sent(StreamId stream) { sent.push_back(stream); }
void Recorder::on_round_trip(Duration round_trip) { round_trips.push_back(round_trip); }
void Recorder::on_go_away(std::uint32_t code) { gone = code; }

Pair::Pair(YamuxLimits limits) : left(Side::dialer, limits, left_events), right(Side::listener, limits, right_events) {}

Bytes Pair::output(YamuxSession& session, std::size_t room)
{
    auto buffer = Bytes(room);
    buffer.resize(session.write_frames(buffer));
    return buffer;
}

Result<void> Pair::flow(std::size_t step)
{
    while (left.has_output() || right.has_output()) {
        for (auto const& [from, to] : {std::pair(&left, &right), std::pair(&right, &left)}) {
            auto const frames = output(*from);
            for (auto rest = ByteView(frames); !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
                if (auto pushed = to->push(rest.first(std::min(step, rest.size())), now); !pushed) {
                    return pushed;
                }
            }
        }
    }
    return {};
}

std::size_t Pair::read_right(StreamId stream)
{
    auto const count = std::exchange(right_events.received[stream], {}).size();
    right.consumed(stream, count, now);
    return count;
}

}  // namespace plexus::muxer
