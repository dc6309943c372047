#pragma once

#include <string>

#include "base/bytes.h"

namespace plexus::wire {

struct TunnelOptions {
    std::string name = "wire0";
    std::string name_space{};  ///< as `ip netns` knows it
    std::string address;     ///< IPv4 with prefix length, "10.0.0.1/24"
    int mtu = 1500;
    std::string congestion = "cubic";  ///< of all TCP in that namespace; Reno where it is not allowed
};

/// A TUN device in another network namespace, up, with its address; gone when this object is.
class Tunnel {
public:
    /// Needs the right to administer networks. Errors: `not_found` (namespace), `not_allowed`, `malformed`, `io`.
    static Result<Tunnel> open(TunnelOptions const& options);

    Tunnel(Tunnel&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Tunnel& operator=(Tunnel&&) = delete;
    ~Tunnel();

    int descriptor() const { return descriptor_; }
    /// The next packet into `buffer`; an empty view if there is none now.
    ByteView read(MutableByteView buffer);
    /// A packet that the device does not take now is lost, as on a real link.
    void write(ByteView packet);

private:
    explicit Tunnel(int descriptor) : descriptor_(descriptor) {}

    int descriptor_;
};

}  // namespace plexus::wire
