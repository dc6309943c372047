#include "muxer/yamux.h"

namespace plexus::muxer {

namespace {

using Type = FrameHeader::Type;

constexpr std::uint64_t max_stream_id = UINT32_MAX;
constexpr auto round_trips_to_grow = 4;

}  // namespace

Result<StreamId> YamuxSession::open_stream()
{
    if (remote_gone_ || broken_) {
        return fail(ErrorKind::closed, "the other side takes no new streams");
    }
    if (unacknowledged_ >= limits_.unacknowledged_streams || next_id_ > max_stream_id) {
        return fail(ErrorKind::unavailable, "too many streams wait for an answer");
    }
    auto const id = static_cast<StreamId>(next_id_);
    next_id_ += 2;
    make_ready(id, add_stream(id, true));
    return id;
}

bool YamuxSession::offer(StreamId id, ByteView bytes)
{
    auto* const stream = find(id);
    if (stream == nullptr || stream->ending || broken_) {
        return false;
    }
    PLEXUS_ASSERT(stream->offered.empty());
    stream->offered = bytes;
    if (has_work(*stream)) {
        make_ready(id, *stream);
    }
    return true;
}

void YamuxSession::withdraw(StreamId id)
{
    if (auto* const stream = find(id)) {
        stream->offered = {};
    }
}

void YamuxSession::close_write(StreamId id)
{
    auto* const stream = find(id);
    if (stream == nullptr || std::exchange(stream->ending, true) || broken_) {
        return;
    }
    make_ready(id, *stream);
}

void YamuxSession::reset(StreamId id)
{
    auto* const stream = find(id);
    if (stream == nullptr) {
        return;
    }
    auto const known_there = !stream->opening;
    auto const own = stream->own;
    forget(id);
    auto const frame = FrameHeader{.type = Type::window_update, .flags = FrameHeader::rst, .stream = id};
    if (!known_there || broken_) {
        return;
    }
    if (own) {
        control_.push_back(frame);  // as many as we had open
    } else {
        std::ignore = answer(frame);
    }
}

std::uint32_t YamuxSession::grown_window(Stream const& stream, Time now) const
{
    auto const fast = round_trip_ && now - stream.last_update < round_trips_to_grow * *round_trip_;
    auto const doubled = std::min<std::uint64_t>(std::uint64_t{stream.window} * 2, limits_.max_window);
    if (!fast || doubled <= stream.window || window_sum_ - stream.window + doubled > limits_.total_window) {
        return stream.window;
    }
    return static_cast<std::uint32_t>(doubled);
}

void YamuxSession::consumed(StreamId id, std::size_t count, Time now)
{
    auto* const stream = find(id);
    if (stream == nullptr) {
        return;
    }
    PLEXUS_ASSERT(count <= stream->unread);
    stream->unread -= count;
    unread_ -= count;
    if (stream->remote_ended) {
        forget_if_done(id, *stream);
        return;
    }
    auto const missing = [&] { return stream->window - stream->receive_credit - stream->unread; };
    if (broken_ || missing() < stream->window / 2) {
        return;
    }
    auto const grown = grown_window(*stream, now);
    window_sum_ += grown - stream->window;
    stream->window = grown;
    stream->last_update = now;
    auto const credit = static_cast<std::uint32_t>(missing());
    stream->receive_credit += credit;
    stream->update += credit;
    if (!std::exchange(stream->updating, true)) {
        updates_.push_back(id);
    }
}

void YamuxSession::discard(StreamId id, Time now)
{
    auto* const stream = find(id);
    if (stream == nullptr) {
        return;
    }
    stream->discarding = true;
    consumed(id, stream->unread, now);
}

bool YamuxSession::ping(Time now)
{
    if (ping_sent_ || broken_) {
        return false;
    }
    ping_sent_ = now;
    control_.push_back({.type = Type::ping, .flags = FrameHeader::syn, .length = ++ping_value_});
    return true;
}

void YamuxSession::go_away(GoAwayCode code)
{
    if (!broken_) {
        control_.push_back({.type = Type::go_away, .length = static_cast<std::uint32_t>(code)});
    }
}

bool YamuxSession::has_work(Stream const& stream) const
{
    auto const can_send = !stream.offered.empty() && stream.send_credit > 0;
    auto const can_end = stream.ending && !stream.ended && stream.offered.empty();
    return stream.opening || stream.answering || can_send || can_end;
}

void YamuxSession::make_ready(StreamId id, Stream& stream)
{
    if (!std::exchange(stream.ready, true)) {
        ready_.push_back(id);
    }
}

std::uint16_t YamuxSession::take_flags(Stream& stream)
{
    auto flags = std::uint16_t{0};
    if (std::exchange(stream.opening, false)) {
        flags |= FrameHeader::syn;
    }
    if (std::exchange(stream.answering, false)) {
        flags |= FrameHeader::ack;
    }
    return flags;
}

std::size_t YamuxSession::write_control(MutableByteView out)
{
    std::size_t written = 0;
    auto const put = [&](FrameHeader const& frame) {
        auto const bytes = frame.encode();
        std::memcpy(out.data() + written, bytes.data(), bytes.size());
        written += bytes.size();
    };
    while (!control_.empty() && out.size() - written >= FrameHeader::size) {
        put(control_.front());
        control_.pop_front();
    }
    while (!updates_.empty() && out.size() - written >= FrameHeader::size) {
        auto const id = updates_.front();
        updates_.pop_front();
        auto& stream = *find(id);
        stream.updating = false;
        put({.type = Type::window_update, .flags = take_flags(stream), .stream = id,
             .length = std::exchange(stream.update, 0)});
    }
    return written;
}

std::size_t YamuxSession::write_frames(MutableByteView out)
{
    auto written = write_control(out);
    // A header alone is worth writing; a body of a few bytes at the end of the buffer is not.
    while (!ready_.empty() && out.size() - written > FrameHeader::size * 2) {
        auto const id = ready_.front();
        ready_.pop_front();
        auto& stream = *find(id);
        stream.ready = false;
        if (has_work(stream)) {
            written += write_stream_frame(id, stream, out.subspan(written));
        }
    }
    return written;
}

std::size_t YamuxSession::write_stream_frame(StreamId id, Stream& stream, MutableByteView out)
{
    auto const body = std::min({stream.offered.size(), static_cast<std::size_t>(stream.send_credit), limits_.max_body,
                                out.size() - FrameHeader::size});
    auto flags = take_flags(stream);
    if (stream.ending && !stream.ended && body == stream.offered.size()) {
        flags |= FrameHeader::fin;
        stream.ended = true;
    }
    auto const header = FrameHeader{.type = body > 0 ? Type::data : Type::window_update,
                                    .flags = flags,
                                    .stream = id,
                                    .length = static_cast<std::uint32_t>(body)}
                            .encode();
    std::memcpy(out.data(), header.data(), header.size());
    if (body > 0) {
        std::memcpy(out.data() + header.size(), stream.offered.data(), body);
        stream.offered = stream.offered.subspan(body);
        stream.send_credit -= body;
        if (stream.offered.empty()) {
            events_.on_sent(id);
        }
    }
    if (has_work(stream)) {
        make_ready(id, stream);
    }
    if (stream.remote_ended) {
        forget_if_done(id, stream);
    } else {
        stop_unheard(id, stream);
    }
    return header.size() + body;
}

}  // namespace plexus::muxer
