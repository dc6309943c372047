// Multicast, and what the system tells of its interfaces.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_datagram_socket.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/real_network.h"

namespace plexus {

namespace {

using asio::ip::udp;
using UdpSocket = asio::basic_datagram_socket<udp, Executor>;

constexpr auto tuple_task = asio::as_tuple_t<asio::use_awaitable_t<Executor>>(use_task);
constexpr int hops_of_multicast_dns = 255;  // RFC 6762, section 11
constexpr std::size_t drained_bytes = 4096;

class RealGroupSocket final : public GroupSocket {
public:
    RealGroupSocket(UdpSocket socket, udp::endpoint group) : socket_(std::move(socket)), group_(std::move(group)) {}

    Task<Result<Bytes>> receive() override
    {
        auto datagram = Bytes(max_datagram_bytes + 1);
        auto const into = asio::buffer(datagram.data(), datagram.size());
        for (;;) {
            auto [code, size] = co_await socket_.async_receive(into, tuple_task);
            if (!socket_.is_open()) {
                co_return fail(ErrorKind::closed, "the group was left");
            }
            if (code == asio::error::operation_aborted) {
                throw boost::system::system_error(code);
            }
            if (code) {
                co_return fail(ErrorKind::io, "receive: {}", code.message());
            }
            if (size <= max_datagram_bytes) {
                datagram.resize(size);
                co_return datagram;
            }
        }
    }

    Result<void> send(ByteView datagram) override
    {
        auto code = boost::system::error_code{};
        socket_.send_to(asio::buffer(datagram.data(), datagram.size()), group_, 0, code);
        if (code) {
            return fail(ErrorKind::unavailable, "send to {}: {}", group_.address().to_string(), code.message());
        }
        return {};
    }

    void close() override
    {
        auto ignored = boost::system::error_code{};
        socket_.close(ignored);
    }

private:
    UdpSocket socket_;
    udp::endpoint group_;
};

void join(UdpSocket& socket, asio::ip::address const& group, InterfaceAddress const& at, unsigned index,
          boost::system::error_code& code)
{
    namespace multicast = asio::ip::multicast;
    if (group.is_v4()) {
        socket.set_option(multicast::join_group(group.to_v4(), at.address.to_v4()), code);
        if (!code) {
            socket.set_option(multicast::outbound_interface(at.address.to_v4()), code);
        }
        return;
    }
    socket.set_option(multicast::join_group(group.to_v6(), index), code);
    if (!code) {
        socket.set_option(multicast::outbound_interface(index), code);
    }
}

/// Bound to the group, so that it hears nothing else; other programs may be bound to the same port.
void open(UdpSocket& socket, udp::endpoint const& group, boost::system::error_code& code)
{
    socket.open(group.protocol(), code);
    if (!code) {
        socket.set_option(asio::socket_base::reuse_address(true), code);
    }
    if (!code && group.address().is_v6()) {
        socket.set_option(asio::ip::v6_only(true), code);
    }
    if (!code) {
        auto const on = 1;
        std::ignore = ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        socket.bind(group, code);
    }
    if (!code) {
        socket.set_option(asio::ip::multicast::hops(hops_of_multicast_dns), code);
    }
    if (!code) {
        // Else it would hear what comes in on interfaces that other sockets have joined at.
        auto const off = 0;
        auto const is_v4 = group.address().is_v4();
        std::ignore = ::setsockopt(socket.native_handle(), is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                   is_v4 ? IP_MULTICAST_ALL : IPV6_MULTICAST_ALL, &off, sizeof off);
        socket.non_blocking(true, code);
    }
}

class RealInterfaceWatch final : public InterfaceWatch {
public:
    RealInterfaceWatch(asio::io_context& context, int descriptor) : stream_(context, descriptor) {}

    Task<Result<void>> changed() override
    {
        auto bytes = std::array<std::byte, drained_bytes>{};
        auto [code, size] = co_await stream_.async_read_some(asio::buffer(bytes), tuple_task);
        if (code == asio::error::operation_aborted) {
            throw boost::system::system_error(code);
        }
        if (code && code != asio::error::no_buffer_space) {  // more changes than the system could hold are one too
            co_return fail(ErrorKind::io, "the system tells no more of its network: {}", code.message());
        }
        co_return Result<void>{};
    }

private:
    asio::posix::basic_stream_descriptor<Executor> stream_;
};

}  // namespace

Result<std::unique_ptr<GroupSocket>> RealNetwork::join_group(Endpoint group, InterfaceAddress const& at)
{
    auto const index = ::if_nametoindex(at.name.c_str());
    auto address = group.address;
    if (address.is_v6()) {
        auto scoped = address.to_v6();
        scoped.scope_id(index);
        address = scoped;
    }
    auto const endpoint = udp::endpoint(address, group.port);
    auto socket = UdpSocket(context_);
    auto code = boost::system::error_code{};
    open(socket, endpoint, code);
    if (!code) {
        join(socket, group.address, at, index, code);
    }
    if (code) {
        return fail(ErrorKind::unavailable, "cannot join {} on {}: {}", group.text(), at.name, code.message());
    }
    return std::make_unique<RealGroupSocket>(std::move(socket), endpoint);
}

Result<std::unique_ptr<InterfaceWatch>> RealNetwork::watch_interfaces()
{
    auto const descriptor = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (descriptor < 0) {
        return fail(ErrorKind::io, "the system does not tell of its network");
    }
    auto watch = std::make_unique<RealInterfaceWatch>(context_, descriptor);
    auto address = sockaddr_nl{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    if (::bind(descriptor, reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0) {
        return fail(ErrorKind::io, "the system does not tell of its network");
    }
    return watch;
}

}  // namespace plexus
