#include "host/host_stream.h"

namespace plexus::host {

HostStream::HostStream(std::shared_ptr<Connection> connection, muxer::StreamId id, std::string protocol)
    : connection_(std::move(connection)), id_(id), protocol_(std::move(protocol))
{
    proposal_.emplace(std::vector{protocol_});
}

HostStream::HostStream(std::shared_ptr<Connection> connection, muxer::StreamId id, std::string protocol, Bytes early)
    : connection_(std::move(connection)), id_(id), protocol_(std::move(protocol)), early_(std::move(early))
{
}

HostStream::~HostStream()
{
    connection_->release(id_);
}

Task<Result<void>> HostStream::send_proposal()
{
    if (!proposal_ || std::exchange(proposed_, true)) {
        co_return Result<void>{};
    }
    auto const bytes = proposal_->start();
    co_return co_await connection_->write(id_, bytes);
}

Task<Result<void>> HostStream::finish_negotiation()
{
    auto const sent = co_await send_proposal();
    if (!sent) {
        co_return sent;
    }
    auto buffer = std::array<std::byte, 1024>{};
    while (proposal_) {
        auto const count = co_await connection_->read_some(id_, buffer);
        if (!count) {
            co_return std::unexpected(count.error());
        }
        if (*count == 0) {
            co_return fail(ErrorKind::closed, "the other side ended the stream before it agreed on {}", protocol_);
        }
        auto const pushed = proposal_->push(ByteView(buffer).first(*count));
        if (!pushed) {
            connection_->reset(id_);
            co_return pushed;
        }
        if (proposal_->done()) {
            early_ = proposal_->take_rest();
            proposal_.reset();
        }
    }
    co_return Result<void>{};
}

Task<Result<std::size_t>> HostStream::read_some(MutableByteView buffer)
{
    if (proposal_) {
        auto const agreed = co_await finish_negotiation();
        if (!agreed) {
            co_return std::unexpected(agreed.error());
        }
    }
    if (!early_.empty()) {
        auto const count = std::min(buffer.size(), early_.size());
        std::memcpy(buffer.data(), early_.data(), count);
        early_.erase(early_.begin(), early_.begin() + static_cast<std::ptrdiff_t>(count));
        co_return count;
    }
    co_return co_await connection_->read_some(id_, buffer);
}

Task<Result<void>> HostStream::write(ByteView bytes)
{
    if (proposal_ && !std::exchange(proposed_, true)) {
        auto whole = proposal_->start();
        append(whole, bytes);
        co_return co_await connection_->write(id_, whole);
    }
    co_return co_await connection_->write(id_, bytes);
}

Task<Result<void>> HostStream::close_write()
{
    auto const sent = co_await send_proposal();
    if (sent) {
        connection_->close_write(id_);
    }
    co_return sent;
}

void HostStream::reset()
{
    connection_->reset(id_);
}

}  // namespace plexus::host
