#include "muxer/yamux.h"

#include "base/checked.h"

namespace plexus::muxer {

namespace {

enum Type : std::uint8_t { data = 0, window_update = 1, ping_frame = 2, go_away_frame = 3 };
enum Flag : std::uint16_t { syn = 1, ack = 2, fin = 4, rst = 8 };

constexpr std::uint64_t max_stream_id = 0xffffffffULL;
constexpr auto round_trips_to_grow = 4;

std::array<std::byte, 12> encode(std::uint8_t type, std::uint16_t flags, StreamId stream, std::uint32_t length)
{
    auto header = std::array<std::byte, 12>{};
    header[1] = static_cast<std::byte>(type);
    store_big_endian(header.data() + 2, flags);
    store_big_endian(header.data() + 4, stream);
    store_big_endian(header.data() + 8, length);
    return header;
}

}  // namespace

YamuxSession::YamuxSession(Side side, YamuxLimits limits, YamuxEvents& events)
    : side_(side), limits_(limits), events_(events), next_id_(side == Side::dialer ? 1 : 2)
{
}

Result<void> YamuxSession::push(ByteView received, Time now)
{
    while (!received.empty()) {
        if (broken_) {
            return fail(ErrorKind::closed, "the session is over");
        }
        if (body_left_ > 0) {
            auto const part = received.first(std::min<std::size_t>(received.size(), body_left_));
            body_left_ -= static_cast<std::uint32_t>(part.size());
            received = received.subspan(part.size());
            if (streams_.contains(body_stream_)) {
                events_.on_data(body_stream_, part);
            }
            if (body_left_ == 0 && std::exchange(body_ends_stream_, false)) {
                events_.on_end(body_stream_);
                forget_if_done(body_stream_);
            }
            continue;
        }
        auto const count = std::min(received.size(), header_size - header_filled_);
        std::memcpy(header_.data() + header_filled_, received.data(), count);
        header_filled_ += count;
        received = received.subspan(count);
        if (header_filled_ == header_size) {
            header_filled_ = 0;
            if (auto taken = take_header(header_, now); !taken) {
                return taken;
            }
        }
    }
    return {};
}

std::unexpected<Error> YamuxSession::violation(std::string_view text)
{
    broken_ = true;
    control_.clear();
    ready_.clear();
    control_.push_back(encode(go_away_frame, 0, 0, static_cast<std::uint32_t>(GoAwayCode::protocol_error)));
    return fail(ErrorKind::malformed, "the muxer protocol was broken: {}", text);
}

Result<void> YamuxSession::take_header(Header const& header, Time now)
{
    auto const type = std::to_integer<std::uint8_t>(header[1]);
    auto const flags = load_big_endian<std::uint16_t>(header.data() + 2);
    auto const id = load_big_endian<std::uint32_t>(header.data() + 4);
    auto const length = load_big_endian<std::uint32_t>(header.data() + 8);
    if (header[0] != std::byte{0} || type > go_away_frame) {
        return violation("unknown version or frame type");
    }
    if (type == ping_frame) {
        return take_ping(flags, length, now);
    }
    if (type == go_away_frame) {
        remote_gone_ = true;
        events_.on_go_away(length);
        return {};
    }
    if (id == 0) {
        return violation("a stream frame for stream 0");
    }
    return take_stream_frame(type, flags, id, length, now);
}

Result<void> YamuxSession::take_ping(std::uint16_t flags, std::uint32_t value, Time now)
{
    if ((flags & syn) != 0) {
        return queue_control(encode(ping_frame, ack, 0, value));
    }
    if ((flags & ack) != 0 && ping_sent_ && value == ping_value_) {
        round_trip_ = now - *std::exchange(ping_sent_, std::nullopt);
        events_.on_round_trip(*round_trip_);
    }
    return {};
}

Result<YamuxSession::Stream*> YamuxSession::accept(StreamId id, Time now)
{
    auto const theirs = (id % 2 == 1) == (side_ == Side::listener);
    if (!theirs || streams_.contains(id)) {
        return violation("a stream was opened with an id that is not free");
    }
    if (inbound_ >= limits_.inbound_streams || !events_.on_stream(id)) {
        if (auto queued = queue_control(encode(window_update, rst, id, 0)); !queued) {
            return std::unexpected(queued.error());
        }
        return nullptr;
    }
    ++inbound_;
    window_sum_ += limits_.initial_window;
    auto& stream = streams_[id];
    stream = Stream{.answering = true,
                    .acknowledged = true,
                    .send_credit = limits_.initial_window,
                    .receive_credit = limits_.initial_window,
                    .window = limits_.initial_window,
                    .last_update = now,
                    .offered = {}};
    make_ready(id, stream);
    return &stream;
}

Result<void> YamuxSession::take_stream_frame(std::uint8_t type, std::uint16_t flags, StreamId id, std::uint32_t length,
                                             Time now)
{
    auto found = streams_.find(id);
    // Checked before a stream is registered: a first frame over the window must leave nothing behind.
    if (type == data && length > (found == streams_.end() ? limits_.initial_window : found->second.receive_credit)) {
        if (found != streams_.end() || (flags & syn) != 0) {
            return violation("more data than the window allows");
        }
    }
    Stream* stream = found == streams_.end() ? nullptr : &found->second;
    if ((flags & syn) != 0) {
        auto accepted = accept(id, now);
        if (!accepted) {
            return std::unexpected(accepted.error());
        }
        stream = *accepted;
    }
    if (type == data) {
        body_left_ = length;
        body_stream_ = id;
        body_ends_stream_ = false;
    }
    if (stream == nullptr) {
        return {};  // of a stream that is gone: the body is dropped, nothing is answered
    }
    if ((flags & rst) != 0) {
        forget(id);
        events_.on_reset(id);
        return {};
    }
    if (type == data && length > 0) {
        if (stream->remote_ended) {
            return violation("data behind the end of a stream");
        }
        stream->receive_credit -= length;
        stream->unconsumed += length;
    } else if (type == window_update) {
        stream->send_credit += length;
        if (stream->send_credit > UINT32_MAX) {
            return violation("a send window over 32 bits");
        }
        if (has_work(*stream)) {
            make_ready(id, *stream);
        }
    }
    return take_flags(flags, id, *stream);
}

Result<void> YamuxSession::take_flags(std::uint16_t flags, StreamId id, Stream& stream)
{
    if ((flags & ack) != 0 && stream.own && !std::exchange(stream.acknowledged, true)) {
        --unacknowledged_;
    }
    if ((flags & fin) != 0 && !std::exchange(stream.remote_ended, true)) {
        if (body_left_ > 0 && body_stream_ == id) {
            body_ends_stream_ = true;  // told behind the body
        } else {
            events_.on_end(id);
            forget_if_done(id);
        }
    }
    return {};
}

Result<void> YamuxSession::queue_control(Header header)
{
    if (control_.size() >= limits_.pending_control_frames) {
        broken_ = true;
        return fail(ErrorKind::too_large, "the other side makes us answer but does not read");
    }
    control_.push_back(header);
    return {};
}

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
    ++unacknowledged_;
    window_sum_ += limits_.initial_window;
    auto& stream = streams_[id];
    stream = Stream{.own = true,
                    .opening = true,
                    .send_credit = limits_.initial_window,
                    .receive_credit = limits_.initial_window,
                    .window = limits_.initial_window,
                    .offered = {}};
    make_ready(id, stream);
    return id;
}

bool YamuxSession::offer(StreamId id, ByteView bytes)
{
    auto const found = streams_.find(id);
    if (found == streams_.end() || found->second.ending || broken_) {
        return false;
    }
    PLEXUS_ASSERT(found->second.offered.empty());
    found->second.offered = bytes;
    if (has_work(found->second)) {
        make_ready(id, found->second);
    }
    return true;
}

void YamuxSession::withdraw(StreamId id)
{
    if (auto const found = streams_.find(id); found != streams_.end()) {
        found->second.offered = {};
    }
}

void YamuxSession::close_write(StreamId id)
{
    auto const found = streams_.find(id);
    if (found == streams_.end() || found->second.ending) {
        return;
    }
    found->second.ending = true;
    make_ready(id, found->second);
}

void YamuxSession::reset(StreamId id)
{
    auto const found = streams_.find(id);
    if (found == streams_.end()) {
        return;
    }
    auto const known_there = !found->second.opening;
    forget(id);
    if (known_there && !broken_) {
        std::ignore = queue_control(encode(window_update, rst, id, 0));
    }
}

std::uint32_t YamuxSession::grown_window(Stream const& stream, Time now) const
{
    auto const fast = round_trip_ && now - stream.last_update < round_trips_to_grow * *round_trip_;
    auto const doubled = std::min<std::uint64_t>(std::uint64_t{stream.window} * 2, limits_.max_window);
    auto const fits = window_sum_ + (doubled - stream.window) <= limits_.total_window;
    return fast && fits ? static_cast<std::uint32_t>(doubled) : stream.window;
}

void YamuxSession::consumed(StreamId id, std::size_t count, Time now)
{
    auto const found = streams_.find(id);
    if (found == streams_.end()) {
        return;
    }
    auto& stream = found->second;
    PLEXUS_ASSERT(count <= stream.unconsumed);
    stream.unconsumed -= count;
    auto const missing = [&] { return stream.window - stream.receive_credit - stream.unconsumed; };
    if (stream.remote_ended || broken_ || missing() < stream.window / 2) {
        return;
    }
    auto const grown = grown_window(stream, now);
    window_sum_ += grown - stream.window;
    stream.window = grown;
    stream.last_update = now;
    auto const credit = static_cast<std::uint32_t>(missing());
    stream.receive_credit += credit;
    auto flags = std::uint16_t{0};
    if (std::exchange(stream.opening, false)) {
        flags |= syn;
    }
    if (std::exchange(stream.answering, false)) {
        flags |= ack;
    }
    std::ignore = queue_control(encode(window_update, flags, id, credit));
}

bool YamuxSession::ping(Time now)
{
    if (ping_sent_ || broken_) {
        return false;
    }
    ping_sent_ = now;
    return queue_control(encode(ping_frame, syn, 0, ++ping_value_)).has_value();
}

void YamuxSession::go_away(GoAwayCode code)
{
    if (!broken_) {
        control_.push_back(encode(go_away_frame, 0, 0, static_cast<std::uint32_t>(code)));
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

std::size_t YamuxSession::write_frames(MutableByteView out)
{
    std::size_t written = 0;
    while (!control_.empty() && out.size() - written >= header_size) {
        std::memcpy(out.data() + written, control_.front().data(), header_size);
        control_.pop_front();
        written += header_size;
    }
    // A header alone is worth writing; a body of a few bytes at the end of the buffer is not.
    while (!ready_.empty() && out.size() - written > header_size * 2) {
        auto const id = ready_.front();
        ready_.pop_front();
        auto const found = streams_.find(id);
        if (found == streams_.end()) {
            continue;
        }
        found->second.ready = false;
        written += write_stream_frame(id, found->second, out.subspan(written));
    }
    return written;
}

std::size_t YamuxSession::write_stream_frame(StreamId id, Stream& stream, MutableByteView out)
{
    if (!has_work(stream)) {
        return 0;
    }
    auto const body = std::min({stream.offered.size(), static_cast<std::size_t>(stream.send_credit), limits_.max_body,
                                out.size() - header_size});
    auto flags = std::uint16_t{0};
    if (std::exchange(stream.opening, false)) {
        flags |= syn;
    }
    if (std::exchange(stream.answering, false)) {
        flags |= ack;
    }
    auto const last = stream.ending && !stream.ended && body == stream.offered.size();
    if (last) {
        flags |= fin;
        stream.ended = true;
    }
    auto const header = encode(body > 0 ? data : window_update, flags, id, static_cast<std::uint32_t>(body));
    std::memcpy(out.data(), header.data(), header_size);
    if (body > 0) {
        std::memcpy(out.data() + header_size, stream.offered.data(), body);
        stream.offered = stream.offered.subspan(body);
        stream.send_credit -= body;
        if (stream.offered.empty()) {
            events_.on_sent(id);
        }
    }
    if (has_work(stream)) {
        make_ready(id, stream);
    }
    if (last) {
        forget_if_done(id);
    }
    return header_size + body;
}

void YamuxSession::forget_if_done(StreamId id)
{
    auto const found = streams_.find(id);
    if (found != streams_.end() && found->second.ended && found->second.remote_ended) {
        forget(id);
    }
}

void YamuxSession::forget(StreamId id)
{
    auto const found = streams_.find(id);
    PLEXUS_ASSERT(found != streams_.end());
    window_sum_ -= found->second.window;
    if (!found->second.own) {
        --inbound_;
    } else if (!found->second.acknowledged) {
        --unacknowledged_;
    }
    streams_.erase(found);
}

}  // namespace plexus::muxer
