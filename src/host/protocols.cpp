#include "host/protocols.h"

namespace plexus::host {

bool Protocols::set(std::string protocol, Admission least, StreamHandler handler, ConnectionUse use)
{
    auto const is_new = !handlers_.contains(protocol);
    handlers_[std::move(protocol)] = Handler{least, std::move(handler), use};
    return is_new;
}

std::vector<std::string> Protocols::names() const
{
    auto found = std::vector<std::string>{};
    for (auto const& [name, handler] : handlers_) {
        found.push_back(name);
    }
    return found;
}

Task<> Protocols::serve(std::shared_ptr<Connection> connection, muxer::StreamId id)
{
    auto const deadline = env_.deadline_in(negotiation_limit_);
    auto stream = co_await with_deadline(env_, deadline, negotiate(connection, id));
    if (!stream) {
        connection->release(id);
        co_return;
    }
    auto const found = handlers_.find((*stream)->protocol());
    if (found != handlers_.end()) {
        auto const serve = found->second.serve;
        if (found->second.use == ConnectionUse::bulk) {
            found_bulk_(*connection);
        }
        co_await serve(std::move(*stream));
    }
}

bool Protocols::supports(Connection const& connection, std::string_view protocol) const
{
    auto const found = handlers_.find(protocol);
    return found != handlers_.end() && connection.admission() >= found->second.least;
}

Task<Result<std::unique_ptr<HostStream>>> Protocols::negotiate(std::shared_ptr<Connection> connection,
                                                               muxer::StreamId id)
{
    auto negotiation = negotiation::Responder([&](std::string_view name) { return supports(*connection, name); });
    auto buffer = std::array<std::byte, 1024>{};
    while (!negotiation.done()) {
        auto const count = co_await connection->read_some(id, buffer);
        if (!count || *count == 0) {
            co_return fail(ErrorKind::closed, "the stream ended before a protocol was agreed");
        }
        auto const pushed = negotiation.push(ByteView(buffer).first(*count));
        auto const output = negotiation.take_output();
        if (!pushed) {
            co_return std::unexpected(pushed.error());
        }
        auto const sent = co_await connection->write(id, output);
        if (!sent) {
            co_return std::unexpected(sent.error());
        }
    }
    auto const protocol = negotiation.agreed();
    co_return std::make_unique<HostStream>(std::move(connection), id, protocol, negotiation.take_rest());
}

}  // namespace plexus::host
