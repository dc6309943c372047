#include "plexus-wire/tunnel.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/ip/network_v4.hpp>

namespace plexus::wire {

namespace {

namespace asio = boost::asio;

/// Of the device, so that packets are lost on the link as asked, not here while we wait for the processor.
constexpr auto queued_packets = 10'000;

Error system_error(std::string_view what)
{
    auto const kind = errno == EPERM || errno == EACCES ? ErrorKind::not_allowed : errno == ENOENT ? ErrorKind::not_found : ErrorKind::io;
    return {kind, fmt::format("{}: {}", what, std::strerror(errno))};
}

struct Descriptor {
    int value;
    ~Descriptor()
    {
        if (value >= 0) {
            ::close(value);
        }
    }
};

ifreq request_for(std::string const& name)
{
    auto request = ifreq{};
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
    return request;
}

sockaddr socket_address(asio::ip::address_v4 address)
{
    auto in = sockaddr_in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address.to_uint());
    auto raw = sockaddr{};
    std::memcpy(&raw, &in, sizeof in);
    return raw;
}

/// In the namespace of the calling thread.
Result<void> bring_up(TunnelOptions const& options)
{
    auto code = boost::system::error_code{};
    auto const network = asio::ip::make_network_v4(options.address, code);
    if (code) {
        return fail(ErrorKind::malformed, "{} is no IPv4 address with a prefix length", options.address);
    }
    auto const socket = Descriptor{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    auto address = request_for(options.name);
    address.ifr_addr = socket_address(network.address());
    auto mask = request_for(options.name);
    mask.ifr_netmask = socket_address(network.netmask());
    auto mtu = request_for(options.name);
    mtu.ifr_mtu = options.mtu;
    auto queue = request_for(options.name);
    queue.ifr_qlen = queued_packets;
    auto up = request_for(options.name);
    up.ifr_flags = IFF_UP | IFF_RUNNING;
    auto loopback = request_for("lo");
    loopback.ifr_flags = IFF_UP;
    if (::ioctl(socket.value, SIOCSIFADDR, &address) < 0 || ::ioctl(socket.value, SIOCSIFNETMASK, &mask) < 0 ||
        ::ioctl(socket.value, SIOCSIFMTU, &mtu) < 0 || ::ioctl(socket.value, SIOCSIFTXQLEN, &queue) < 0 ||
        ::ioctl(socket.value, SIOCSIFFLAGS, &up) < 0 || ::ioctl(socket.value, SIOCSIFFLAGS, &loopback) < 0) {
        return std::unexpected(system_error("the device could not be set up"));
    }
    return {};
}

bool set_congestion(std::string_view algorithm)
{
    auto const file = Descriptor{::open("/proc/sys/net/ipv4/tcp_congestion_control", O_WRONLY | O_CLOEXEC)};
    return file.value >= 0 && ::write(file.value, algorithm.data(), algorithm.size()) >= 0;
}

/// In namespaces a kernel may allow nothing but Reno and its own choice (tcp_allowed_congestion_control).
Result<void> choose_congestion(std::string const& algorithm)
{
    if (set_congestion(algorithm)) {
        return {};
    }
    if (!set_congestion("reno")) {
        return std::unexpected(system_error(fmt::format("TCP congestion control {}", algorithm)));
    }
    fmt::print(stderr, "plexus-wire: {} is not allowed in this namespace, using reno\n", algorithm);
    return {};
}

Result<int> open_device(TunnelOptions const& options)
{
    auto device = Descriptor{::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    auto request = request_for(options.name);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (device.value < 0 || ::ioctl(device.value, TUNSETIFF, &request) < 0) {
        return std::unexpected(system_error("cannot make a TUN device"));
    }
    auto done = bring_up(options);
    if (done) {
        done = choose_congestion(options.congestion);
    }
    if (!done) {
        return std::unexpected(done.error());
    }
    return std::exchange(device.value, -1);
}

}  // namespace

Result<Tunnel> Tunnel::open(TunnelOptions const& options)
{
    auto const home = Descriptor{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
    auto const there = Descriptor{::open(("/run/netns/" + options.name_space).c_str(), O_RDONLY | O_CLOEXEC)};
    if (home.value < 0 || there.value < 0 || ::setns(there.value, CLONE_NEWNET) < 0) {
        return std::unexpected(system_error("cannot enter the namespace " + options.name_space));
    }
    auto const device = open_device(options);
    PLEXUS_ASSERT(::setns(home.value, CLONE_NEWNET) == 0);
    if (!device) {
        return std::unexpected(device.error());
    }
    return Tunnel(*device);
}

Tunnel::~Tunnel()
{
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

ByteView Tunnel::read(MutableByteView buffer)
{
    auto const count = ::read(descriptor_, buffer.data(), buffer.size());
    return ByteView(buffer).first(count > 0 ? static_cast<std::size_t>(count) : 0);
}

void Tunnel::write(ByteView packet)
{
    [[maybe_unused]] auto const count = ::write(descriptor_, packet.data(), packet.size());
}

}  // namespace plexus::wire
