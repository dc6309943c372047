#include "host/connection.h"

#include "base/log.h"

namespace plexus::host {

namespace {

constexpr std::size_t receive_buffer = 256 * 1024;
constexpr std::size_t frames_a_write = 4;
constexpr std::size_t largest_frame = security::frame_header + security::max_frame_body;
constexpr auto farewell = std::chrono::seconds(1);

muxer::YamuxLimits session_limits(Limits const& limits)
{
    auto made = muxer::YamuxLimits{};
    made.inbound_streams = limits.inbound_streams_per_connection;
    made.total_window = std::min<std::uint64_t>(made.total_window, limits.memory_bytes_per_peer);
    return made;
}

}  // namespace

/// Forgets what has arrived and was not read.
void Connection::StreamState::drop()
{
    scope->remove_unread(inbox.size() - taken);
    inbox = {};
    taken = 0;
}

/// Moves what has arrived into `buffer`.
std::size_t Connection::StreamState::take(MutableByteView buffer)
{
    auto const count = std::min(inbox.size() - taken, buffer.size());
    std::memcpy(buffer.data(), inbox.data() + taken, count);
    taken += count;
    scope->remove_unread(count);
    if (taken == inbox.size()) {
        inbox.clear();
        taken = 0;
    }
    return count;
}

Connection::Connection(Env& env, std::uint64_t id, Secured secured, Admission admission, Limits const& limits,
                       std::shared_ptr<Scope> scope)
    : env_(env), id_(id), socket_(std::move(secured.socket)), sealer_(std::move(secured.session.sealer)),
      opener_(std::move(secured.session.opener)), peer_(secured.session.peer), peer_key_(secured.session.peer_key),
      channel_binding_(secured.session.channel_binding),
      direction_(secured.role == security::Role::initiator ? Direction::outbound : Direction::inbound),
      admission_(admission), remote_address_(Multiaddr::from_tcp(socket_->remote_endpoint())),
      session_(secured.role == security::Role::initiator ? muxer::Side::dialer : muxer::Side::listener,
               session_limits(limits), *this),
      max_streams_(2 * limits.inbound_streams_per_connection), max_stranger_streams_(limits.streams_per_stranger),
      scope_(std::move(scope)), raw_output_(std::move(secured.first_output)), received_(receive_buffer),
      writable_(env.executor()), ended_(env.executor()), tasks_(env.executor())
{
    PLEXUS_ASSERT(secured.received.size() <= received_.size());
    std::memcpy(received_.data(), secured.received.data(), secured.received.size());
    received_size_ = secured.received.size();
    auto const yamux = std::string(muxer::yamux_protocol);
    if (!secured.session.muxer && direction_ == Direction::outbound) {
        muxer_proposal_.emplace(std::vector{yamux});
        plaintext_output_ = muxer_proposal_->start();
    } else if (!secured.session.muxer) {
        muxer_answer_.emplace([yamux](std::string_view name) { return name == yamux; });
    }
}

Connection::~Connection() = default;

Task<> Connection::run(Accept accept, Duration keep_alive)
{
    auto const self = shared_from_this();
    accept_ = std::move(accept);
    tasks_.spawn("read from " + peer_.short_text(), read_loop());
    tasks_.spawn("write to " + peer_.short_text(), write_loop());
    tasks_.spawn("keep alive " + peer_.short_text(), keep_alive_loop(keep_alive));
    while (!closed_) {
        co_await ended_.wait();
    }
    co_await tasks_.join();
    accept_ = {};
}

void Connection::close(muxer::GoAwayCode code)
{
    if (closing_ || closed_) {
        return;
    }
    session_.go_away(code);
    end_soon();
}

/// Sends what is left, for at most a moment: the other side may have stopped to read.
void Connection::end_soon()
{
    if (std::exchange(closing_, true)) {
        return;
    }
    wake_writer();
    close_timer_ = env_.start_timer(env_.now() + farewell, [weak = weak_from_this()] {
        if (auto const self = weak.lock()) {
            self->finish();
        }
    });
}

void Connection::abort()
{
    finish();
}

void Connection::finish()
{
    if (std::exchange(closed_, true)) {
        return;
    }
    env_.cancel_timer(close_timer_);
    socket_->reset();
    for (auto const& [id, stream] : streams_) {
        stream->reset = true;
        stream->changed.notify();
    }
    ended_.notify();
    wake_writer();
}

Result<muxer::StreamId> Connection::open()
{
    if (closed_ || closing_) {
        return fail(ErrorKind::closed, "the connection is closed");
    }
    if (!scope_->has_room_for_stream()) {
        return fail(ErrorKind::unavailable, "too many streams are open");
    }
    auto const id = session_.open_stream();
    if (id) {
        streams_.emplace(*id, std::make_shared<StreamState>(env_.executor(), scope_));
        wake_writer();
    }
    return id;
}

bool Connection::on_stream(muxer::StreamId id)
{
    // Streams that the other side has reset already count until their handlers are gone.
    auto const most = admission_ == Admission::member ? max_streams_ : max_stranger_streams_;
    if (closing_ || !accept_ || streams_.size() >= most || !scope_->has_room_for_stream()) {
        return false;
    }
    streams_.emplace(id, std::make_shared<StreamState>(env_.executor(), scope_));
    tasks_.spawn("stream of " + peer_.short_text(), accept_(shared_from_this(), id));
    return true;
}

void Connection::on_data(muxer::StreamId id, ByteView body)
{
    auto const found = streams_.find(id);
    if (found == streams_.end()) {
        return;
    }
    auto& stream = *found->second;
    if (stream.released || stream.reset) {
        return;
    }
    if (!stream.waiting_read.empty()) {
        auto const count = std::min(body.size(), stream.waiting_read.size());
        std::memcpy(stream.waiting_read.data(), body.data(), count);
        stream.waiting_read = stream.waiting_read.subspan(count);
        stream.direct += count;
        body = body.subspan(count);
        stream.changed.notify();
    }
    keep(stream, body);
}

/// Over the limit of the peer or of all the stream is broken; its user's release tells the other side.
void Connection::keep(StreamState& stream, ByteView body)
{
    if (!scope_->has_room_for(body.size())) {
        stream.drop();
        stream.reset = true;
        stream.changed.notify();
        return;
    }
    if (stream.taken > stream.inbox.size() / 2) {
        stream.inbox.erase(stream.inbox.begin(), stream.inbox.begin() + static_cast<std::ptrdiff_t>(stream.taken));
        stream.taken = 0;
    }
    append(stream.inbox, body);
    scope_->add_unread(body.size());
}

void Connection::on_end(muxer::StreamId id)
{
    if (auto const found = streams_.find(id); found != streams_.end()) {
        found->second->remote_ended = true;
        found->second->changed.notify();
        if (found->second->released) {
            streams_.erase(found);
        }
    }
}

void Connection::on_reset(muxer::StreamId id)
{
    if (auto const found = streams_.find(id); found != streams_.end()) {
        found->second->reset = true;
        found->second->changed.notify();
        if (found->second->released) {
            streams_.erase(found);
        }
    }
}

void Connection::on_sent(muxer::StreamId id)
{
    if (auto const found = streams_.find(id); found != streams_.end()) {
        found->second->sent = true;
        found->second->changed.notify();
    }
}

Task<Result<std::size_t>> Connection::read_some(muxer::StreamId id, MutableByteView buffer)
{
    auto const found = streams_.find(id);
    if (found == streams_.end()) {
        co_return fail(ErrorKind::closed, "the stream is closed");
    }
    auto const stream = found->second;
    struct Waiting {
        StreamState& state;
        ~Waiting() { state.waiting_read = {}; }
    };
    auto const waiting = Waiting{*stream};
    stream->direct = 0;
    std::size_t count = 0;
    while (!stream->reset) {
        if (!stream->inbox.empty()) {
            count = stream->take(buffer);
            break;
        }
        if (stream->remote_ended) {
            co_return std::size_t{0};
        }
        stream->waiting_read = buffer;
        co_await stream->changed.wait();
        stream->waiting_read = {};
        if (stream->direct > 0) {
            count = stream->direct;
            break;
        }
    }
    if (count == 0) {
        co_return fail(ErrorKind::closed, "the stream was reset");
    }
    session_.consumed(id, count, env_.now());
    if (session_.has_output()) {
        wake_writer();
    }
    co_return count;
}

Task<Result<void>> Connection::write(muxer::StreamId id, ByteView bytes)
{
    auto const found = streams_.find(id);
    if (found == streams_.end() || found->second->reset || closed_) {
        co_return fail(ErrorKind::closed, "the stream is closed");
    }
    if (bytes.empty()) {
        co_return Result<void>{};
    }
    auto const stream = found->second;
    stream->sent = false;
    if (!session_.offer(id, bytes)) {
        co_return fail(ErrorKind::closed, "the stream is closed for writing");
    }
    struct Offered {
        Connection& connection;
        StreamState& state;
        muxer::StreamId id;
        ~Offered()
        {
            if (!state.sent) {
                connection.session_.withdraw(id);
            }
        }
    };
    auto const self = shared_from_this();
    auto const offered = Offered{*this, *stream, id};
    wake_writer();
    while (!stream->sent && !stream->reset) {
        co_await stream->changed.wait();
    }
    if (!stream->sent) {
        co_return fail(ErrorKind::closed, "the stream was reset");
    }
    co_return Result<void>{};
}

void Connection::close_write(muxer::StreamId id)
{
    session_.close_write(id);
    if (auto const found = streams_.find(id); found != streams_.end()) {
        found->second->ended = true;
    }
    wake_writer();
}

void Connection::reset(muxer::StreamId id)
{
    auto const found = streams_.find(id);
    if (found == streams_.end()) {
        return;
    }
    session_.reset(id);
    found->second->reset = true;
    found->second->changed.notify();
    wake_writer();
}

void Connection::release(muxer::StreamId id)
{
    auto const found = streams_.find(id);
    if (found == streams_.end()) {
        return;
    }
    auto& stream = *found->second;
    if (!stream.ended || stream.reset) {
        session_.reset(id);
    } else {
        session_.discard(id, env_.now());
    }
    wake_writer();
    if (stream.ended && !stream.remote_ended && !stream.reset) {
        // Our end is still under way; a reset now could overtake it.
        stream.released = true;
        stream.drop();
        return;
    }
    streams_.erase(found);
}

Task<> Connection::read_loop()
{
    for (;;) {
        auto const taken = take_frames();
        if (!taken) {
            log::debug("connection ends", {{"peer", peer_.short_text()}, {"reason", taken.error().text}});
            end_soon();
            break;
        }
        auto const room = MutableByteView(received_).subspan(received_size_);
        auto const count = co_await socket_->read_some(room);
        if (!count || *count == 0) {
            finish();
            break;
        }
        received_size_ += *count;
    }
}

Result<void> Connection::take_frames()
{
    auto rest = MutableByteView(received_).first(received_size_);
    for (;;) {
        auto const opened = opener_.open(rest);
        if (!opened) {
            return std::unexpected(opened.error());
        }
        if (!*opened) {
            break;
        }
        if (auto taken = take_plaintext((*opened)->plaintext); !taken) {
            return taken;
        }
        rest = rest.subspan((*opened)->frame_bytes);
    }
    std::memmove(received_.data(), rest.data(), rest.size());
    received_size_ = rest.size();
    if (session_.has_output()) {
        wake_writer();
    }
    return {};
}

Result<void> Connection::take_plaintext(ByteView plaintext)
{
    auto rest = Bytes{};
    if (muxer_proposal_) {
        if (auto pushed = muxer_proposal_->push(plaintext); !pushed || !muxer_proposal_->done()) {
            return pushed;
        }
        rest = muxer_proposal_->take_rest();
        muxer_proposal_.reset();
        plaintext = rest;
    } else if (muxer_answer_) {
        auto pushed = muxer_answer_->push(plaintext);
        append(plaintext_output_, muxer_answer_->take_output());
        wake_writer();
        if (!pushed || !muxer_answer_->done()) {
            return pushed;
        }
        rest = muxer_answer_->take_rest();
        muxer_answer_.reset();
        plaintext = rest;
    }
    return session_.push(plaintext, env_.now());
}

std::size_t Connection::fill_output()
{
    output_.resize(frames_a_write * largest_frame);
    std::size_t filled = 0;
    auto const seal = [&](std::size_t plaintext) {
        auto const size = security::frame_header + plaintext + security::frame_tag;
        sealer_.seal(MutableByteView(output_).subspan(filled, size));
        filled += size;
    };
    if (!plaintext_output_.empty()) {
        std::memcpy(output_.data() + security::frame_header, plaintext_output_.data(), plaintext_output_.size());
        seal(std::exchange(plaintext_output_, {}).size());
    }
    while (!muxer_answer_ && session_.has_output() && filled + largest_frame <= output_.size()) {
        auto const room = MutableByteView(output_).subspan(filled + security::frame_header, security::max_plaintext);
        auto const count = session_.write_frames(room);
        if (count == 0) {
            break;
        }
        seal(count);
    }
    return filled;
}

Task<> Connection::write_loop()
{
    for (;;) {
        auto const count = fill_output();
        if (count == 0 && raw_output_.empty()) {
            if (closing_) {
                finish();
            }
            if (closed_) {
                break;
            }
            co_await writable_.wait();
            continue;
        }
        auto const handshake = std::exchange(raw_output_, {});
        auto const parts = std::array{ByteView(handshake), ByteView(output_).first(count)};
        auto const written = co_await socket_->write_gathered(parts);
        if (!written) {
            finish();
            break;
        }
    }
}

Task<> Connection::keep_alive_loop(Duration interval)
{
    for (;;) {
        // False while the last question has no answer: the other side is gone.
        if (!session_.ping(env_.now())) {
            log::debug("connection is silent", {{"peer", peer_.short_text()}});
            finish();
            co_return;
        }
        wake_writer();
        co_await sleep_for(env_, interval);
    }
}

}  // namespace plexus::host
