#pragma once

#include <functional>

#include <boost/json/object.hpp>

#include "base/real_env.h"
#include "host/host.h"

namespace plexus::peer {

/// Admits everybody or nobody. For programs that measure and test; never for a device.
class OpenGater final : public host::Gater {
public:
    explicit OpenGater(bool refuse) : refuse_(refuse) {}
    bool allow_address(Endpoint const&, host::Direction) override { return true; }
    host::Admission admit(host::PeerId const&, host::Direction) override
    {
        return refuse_ ? host::Admission::refused : host::Admission::member;
    }

private:
    bool refuse_;
};

/// A libp2p host with a fresh key on the real network, and nothing of a mesh.
class Peer {
public:
    explicit Peer(bool refuse = false);

    RealEnv& env() { return env_; }
    host::Host& host() { return *host_; }

    /// Runs `work` to its end, then stops the host. Gives the exit status: 0, or 1 with the error printed.
    int run(Task<Result<void>> work);

    /// Listens, prints {"listening": ADDRESS}, calls `then`, and serves until SIGINT or SIGTERM.
    Task<Result<void>> listen(std::string address, std::function<void()> then = [] {});

private:
    Task<> run_and_stop(Task<Result<void>> work, int& status);

    RealEnv env_;
    OpenGater gater_;
    std::unique_ptr<host::Host> host_;
    Signal terminated_;
    bool terminate_ = false;
};

/// Sends back what it gets until the other side ends its direction. tests/conformance/README.md.
inline constexpr auto echo_protocol = "/plexus/test-echo/1";
Task<> serve_echo(std::unique_ptr<host::Stream> stream);

struct Target {
    host::PeerId peer;
    host::Multiaddr address;
};

/// "/ip4/…/tcp/…/p2p/…". Errors: `malformed`.
Result<Target> parse_target(std::string_view text);

/// One line of JSON on the standard output, at once.
void print_line(boost::json::object const& line);

double seconds(Duration duration);
/// Of this process, user and system.
double cpu_seconds();
double median(std::vector<double> values);

}  // namespace plexus::peer
