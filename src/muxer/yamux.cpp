#include "muxer/yamux.h"

namespace plexus::muxer {

using Type = FrameHeader::Type;

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
            take_body(received);
            continue;
        }
        auto const count = std::min(received.size(), header_.size() - header_filled_);
        std::memcpy(header_.data() + header_filled_, received.data(), count);
        header_filled_ += count;
        received = received.subspan(count);
        if (header_filled_ < header_.size()) {
            break;
        }
        header_filled_ = 0;
        auto const frame = FrameHeader::decode(header_);
        if (!frame) {
            return violation(frame.error().text);
        }
        if (auto taken = take_frame(*frame, now); !taken) {
            return taken;
        }
    }
    return {};
}

void YamuxSession::take_body(ByteView& received)
{
    auto const part = received.first(std::min<std::size_t>(received.size(), body_left_));
    body_left_ -= static_cast<std::uint32_t>(part.size());
    received = received.subspan(part.size());
    auto* const stream = find(body_stream_);
    if (stream == nullptr) {
        return;  // refused or reset meanwhile
    }
    if (!stream->discarding) {
        events_.on_data(body_stream_, part);
    }
    if (body_left_ > 0) {
        return;
    }
    if (body_ends_stream_) {
        end_remote(body_stream_, *stream);
    } else {
        stop_unheard(body_stream_, *stream);
    }
}

std::unexpected<Error> YamuxSession::violation(std::string_view text)
{
    broken_ = true;
    control_.clear();
    updates_.clear();
    ready_.clear();
    control_.push_back({.type = Type::go_away, .length = static_cast<std::uint32_t>(GoAwayCode::protocol_error)});
    return fail(ErrorKind::malformed, "the muxer protocol was broken: {}", text);
}

Result<void> YamuxSession::take_frame(FrameHeader const& frame, Time now)
{
    switch (frame.type) {
    case Type::ping: return take_ping(frame, now);
    case Type::go_away:
        remote_gone_ = true;
        events_.on_go_away(frame.length);
        return {};
    default: return take_stream_frame(frame, now);
    }
}

Result<void> YamuxSession::take_ping(FrameHeader const& frame, Time now)
{
    if (frame.has(FrameHeader::syn)) {
        return answer({.type = Type::ping, .flags = FrameHeader::ack, .length = frame.length});
    }
    if (frame.has(FrameHeader::ack) && ping_sent_ && frame.length == ping_value_) {
        round_trip_ = now - *std::exchange(ping_sent_, std::nullopt);
        events_.on_round_trip(*round_trip_);
    }
    return {};
}

Result<void> YamuxSession::take_stream_frame(FrameHeader const& frame, Time now)
{
    if (frame.stream == 0) {
        return violation("a stream frame for stream 0");
    }
    auto* stream = find(frame.stream);
    if (frame.has(FrameHeader::syn)) {
        auto const accepted = accept(frame);
        if (!accepted) {
            return std::unexpected(accepted.error());
        }
        stream = *accepted;
    }
    if (frame.type == Type::data) {
        body_left_ = frame.length;
        // A body for nobody stays so, also if we open a stream of that id before it has come whole.
        body_stream_ = stream != nullptr ? frame.stream : 0;
        body_ends_stream_ = false;
    }
    // Of a stream that is gone: the body is dropped, nothing is answered.
    return stream == nullptr ? Result<void>{} : take_open_frame(frame, *stream, now);
}

Result<YamuxSession::Stream*> YamuxSession::accept(FrameHeader const& frame)
{
    auto const theirs = (frame.stream % 2 == 1) == (side_ == Side::listener);
    if (!theirs || !remote_ids_.take(frame.stream)) {
        return violation("a stream was opened with an id that is not free");
    }
    // Before the stream exists: a first frame over the window leaves nothing behind (CVE-2026-32314).
    if (frame.type == Type::data && frame.length > limits_.initial_window) {
        return violation("more data than the window allows");
    }
    if (frame.has(FrameHeader::rst)) {
        return nullptr;
    }
    if (inbound_ >= limits_.inbound_streams || !events_.on_stream(frame.stream)) {
        auto const refused =
            answer({.type = Type::window_update, .flags = FrameHeader::rst, .stream = frame.stream});
        return refused ? Result<Stream*>(nullptr) : Result<Stream*>(std::unexpected(refused.error()));
    }
    auto& stream = add_stream(frame.stream, false);
    make_ready(frame.stream, stream);
    return &stream;
}

Result<void> YamuxSession::take_open_frame(FrameHeader const& frame, Stream& stream, Time now)
{
    auto const id = frame.stream;
    if (frame.has(FrameHeader::rst)) {
        forget(id);
        events_.on_reset(id);
        return {};
    }
    if (frame.has(FrameHeader::ack) && stream.own && !std::exchange(stream.acknowledged, true)) {
        --unacknowledged_;
    }
    auto const counted = frame.type == Type::data ? take_data(frame, stream, now) : take_credit(frame, stream);
    if (!counted || find(id) == nullptr) {
        return counted;
    }
    if (frame.has(FrameHeader::fin) && body_left_ > 0) {
        body_ends_stream_ = true;  // takes effect behind the body
    } else if (frame.has(FrameHeader::fin)) {
        end_remote(id, stream);
    }
    return {};
}

Result<void> YamuxSession::take_data(FrameHeader const& frame, Stream& stream, Time now)
{
    if (frame.length > stream.receive_credit) {
        return violation("more data than the window allows");
    }
    if (frame.length > 0 && stream.remote_ended) {
        return violation("data behind the end of a stream");
    }
    if (unread_ + frame.length > limits_.total_window) {
        forget(frame.stream);
        events_.on_reset(frame.stream);
        return answer({.type = Type::window_update, .flags = FrameHeader::rst, .stream = frame.stream});
    }
    if (stream.last_update == Time{}) {
        stream.last_update = now;
    }
    stream.receive_credit -= frame.length;
    if (!stream.discarding) {
        stream.unread += frame.length;
        unread_ += frame.length;
    }
    return {};
}

Result<void> YamuxSession::take_credit(FrameHeader const& frame, Stream& stream)
{
    stream.send_credit += frame.length;
    if (stream.send_credit > UINT32_MAX) {
        return violation("a send window over 32 bits");
    }
    if (has_work(stream)) {
        make_ready(frame.stream, stream);
    }
    return {};
}

void YamuxSession::end_remote(StreamId id, Stream& stream)
{
    if (!std::exchange(stream.remote_ended, true)) {
        events_.on_end(id);
        forget_if_done(id, stream);
    }
}

YamuxSession::Stream* YamuxSession::find(StreamId id)
{
    auto const found = streams_.find(id);
    return found == streams_.end() ? nullptr : &found->second;
}

YamuxSession::Stream& YamuxSession::add_stream(StreamId id, bool own)
{
    window_sum_ += limits_.initial_window;
    ++(own ? unacknowledged_ : inbound_);
    auto& stream = streams_[id];
    stream.own = own;
    stream.opening = own;
    stream.answering = !own;
    stream.send_credit = limits_.initial_window;
    stream.receive_credit = limits_.initial_window;
    stream.window = limits_.initial_window;
    return stream;
}

/// A frame that the other side makes us send: the count that waits is bounded (CVE-2024-32984).
Result<void> YamuxSession::answer(FrameHeader frame)
{
    if (control_.size() >= limits_.pending_control_frames) {
        broken_ = true;
        return fail(ErrorKind::too_large, "the other side makes us answer but does not read");
    }
    control_.push_back(frame);
    return {};
}

void YamuxSession::stop_unheard(StreamId id, Stream const& stream)
{
    if (stream.discarding && stream.ended && !stream.remote_ended && stream.receive_credit == 0) {
        forget(id);
        events_.on_reset(id);
        std::ignore = answer({.type = Type::window_update, .flags = FrameHeader::rst, .stream = id});
    }
}

void YamuxSession::forget_if_done(StreamId id, Stream const& stream)
{
    if (stream.ended && stream.remote_ended && stream.unread == 0) {
        forget(id);
    }
}

void YamuxSession::forget(StreamId id)
{
    auto const found = streams_.find(id);
    PLEXUS_ASSERT(found != streams_.end());
    auto const& stream = found->second;
    window_sum_ -= stream.window;
    unread_ -= stream.unread;
    if (!stream.own) {
        --inbound_;
    } else if (!stream.acknowledged) {
        --unacknowledged_;
    }
    // No trace may stay: a peer that opens and resets streams without reading would grow the queues.
    if (stream.ready) {
        std::erase(ready_, id);
    }
    if (stream.updating) {
        std::erase(updates_, id);
    }
    streams_.erase(found);
}

}  // namespace plexus::muxer
