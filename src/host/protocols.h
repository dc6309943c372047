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
    /// `env` must outlive this. A stream that has not agreed on a protocol after `negotiation_limit` is dropped.
    Protocols(Env& env, Duration negotiation_limit) : env_(env), negotiation_limit_(negotiation_limit) {}

    /// As Host::handle. Returns whether the protocol is new.
    bool set(std::string protocol, Admission least, StreamHandler handler);
    std::vector<std::string> names() const;

    /// Serves a stream that the other side opened until its handler ends. Run as a task of `connection`.
    Task<> serve(std::shared_ptr<Connection> connection, muxer::StreamId id);

private:
    struct Handler {
        Admission least;
        StreamHandler serve;
    };

    bool supports(Connection const& connection, std::string_view protocol) const;
    Task<Result<std::unique_ptr<HostStream>>> negotiate(std::shared_ptr<Connection> connection, muxer::StreamId id);

    Env& env_;
    Duration negotiation_limit_;
    std::map<std::string, Handler, std::less<>> handlers_;
};

}  // namespace plexus::host
