#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/host_stream.h"

namespace plexus::host {

/// The protocols that a host serves, and the way of an incoming stream to its handler.
class Protocols {
public:
    /// Told of a connection on which the other side opens a protocol of bulk.
    using FoundBulk = std::function<void(Connection&)>;

    /// `env` must outlive this. A stream that has not agreed on a protocol after `negotiation_limit` is dropped.
    Protocols(Env& env, Duration negotiation_limit, FoundBulk found_bulk)
        : env_(env), negotiation_limit_(negotiation_limit), found_bulk_(std::move(found_bulk))
    {
    }

    /// As Host::handle. Returns whether the protocol is new.
    bool set(std::string protocol, Admission least, StreamHandler handler, ConnectionUse use);
    std::vector<std::string> names() const;

    /// Serves a stream that the other side opened until its handler ends. Run as a task of `connection`.
    Task<> serve(std::shared_ptr<Connection> connection, muxer::StreamId id);

private:
    struct Handler {
        Admission least;
        StreamHandler serve;
        ConnectionUse use;
    };

    bool supports(Connection const& connection, std::string_view protocol) const;
    Task<Result<std::unique_ptr<HostStream>>> negotiate(std::shared_ptr<Connection> connection, muxer::StreamId id);

    Env& env_;
    Duration negotiation_limit_;
    FoundBulk found_bulk_;
    std::map<std::string, Handler, std::less<>> handlers_;
};

}  // namespace plexus::host
