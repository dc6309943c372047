#include "base/real_network.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "base/real_disk.h"
#include "base/real_env.h"

namespace plexus {

namespace {

constexpr auto tuple_task = asio::as_tuple_t<asio::use_awaitable_t<Executor>>(use_task);
constexpr auto user_timeout_milliseconds = 30'000;
constexpr auto keep_alive_seconds = 30;

Error to_error(std::string_view what, boost::system::error_code code)
{
    auto kind = ErrorKind::closed;
    if (code == asio::error::connection_refused) {
        kind = ErrorKind::refused;
    } else if (code == asio::error::timed_out) {
        kind = ErrorKind::timed_out;
    } else if (code == asio::error::network_unreachable || code == asio::error::host_unreachable) {
        kind = ErrorKind::unavailable;
    } else if (code == asio::error::address_in_use) {
        kind = ErrorKind::conflict;
    } else if (code == asio::error::access_denied) {
        kind = ErrorKind::not_allowed;
    } else if (code == boost::system::errc::no_such_file_or_directory) {
        kind = ErrorKind::not_found;
    }
    return {kind, fmt::format("{}: {}", what, code.message())};
}

Endpoint to_endpoint(asio::ip::tcp::endpoint const& endpoint)
{
    auto address = endpoint.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
        address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    }
    return {address, endpoint.port()};
}

template <typename Protocol>
class RealSocket final : public Socket {
public:
    using Native = asio::basic_stream_socket<Protocol, Executor>;

    explicit RealSocket(Native socket) : socket_(std::move(socket))
    {
        auto ignored = boost::system::error_code{};
        if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) {
            local_ = to_endpoint(socket_.local_endpoint(ignored));
            remote_ = to_endpoint(socket_.remote_endpoint(ignored));
            socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
            socket_.set_option(asio::socket_base::keep_alive(true), ignored);
            auto const descriptor = socket_.native_handle();
            ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &keep_alive_seconds, sizeof keep_alive_seconds);
            ::setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_milliseconds,
                         sizeof user_timeout_milliseconds);
        }
        socket_.non_blocking(true, ignored);
    }

    Task<Result<std::size_t>> read_some(MutableByteView buffer) override
    {
        auto [code, count] = co_await socket_.async_read_some(asio::buffer(buffer.data(), buffer.size()), tuple_task);
        if (code == asio::error::operation_aborted && socket_.is_open()) {
            throw boost::system::system_error(code);
        }
        if (code == asio::error::eof) {
            co_return std::size_t{0};
        }
        if (code) {
            co_return std::unexpected(to_error("read", code));
        }
        co_return count;
    }

    Task<Result<void>> write(ByteView bytes) override
    {
        auto const parts = std::array{bytes};
        co_return co_await write_gathered(parts);
    }

    Task<Result<void>> write_gathered(std::span<ByteView const> parts) override
    {
        auto buffers = std::vector<asio::const_buffer>{};
        buffers.reserve(parts.size());
        for (auto part : parts) {
            buffers.emplace_back(part.data(), part.size());
        }
        // What the system takes at once costs no turn of the loop.
        auto code = boost::system::error_code{};
        auto taken = socket_.write_some(buffers, code);
        if (code && code != asio::error::would_block) {
            co_return written(code);
        }
        for (auto& buffer : buffers) {
            auto const step = std::min(taken, buffer.size());
            buffer += step;
            taken -= step;
        }
        if (asio::buffer_size(buffers) == 0) {
            co_return Result<void>{};
        }
        auto [ended, count] = co_await asio::async_write(socket_, buffers, tuple_task);
        co_return written(ended);
    }

    Task<Result<void>> close_write() override
    {
        auto code = boost::system::error_code{};
        socket_.shutdown(asio::socket_base::shutdown_send, code);
        co_return written(code);
    }

    void reset() override
    {
        auto ignored = boost::system::error_code{};
        socket_.close(ignored);
    }

    Endpoint local_endpoint() const override { return local_; }
    Endpoint remote_endpoint() const override { return remote_; }

private:
    Result<void> written(boost::system::error_code code) const
    {
        if (code == asio::error::operation_aborted && socket_.is_open()) {
            throw boost::system::system_error(code);
        }
        if (code) {
            return std::unexpected(to_error("write", code));
        }
        return {};
    }

    Native socket_;
    Endpoint local_;
    Endpoint remote_;
};

template <typename Protocol>
class RealAcceptor final : public Acceptor {
public:
    using Native = asio::basic_socket_acceptor<Protocol, Executor>;

    RealAcceptor(Native acceptor, std::filesystem::path path) : acceptor_(std::move(acceptor)), path_(std::move(path))
    {
        if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) {
            auto ignored = boost::system::error_code{};
            local_ = to_endpoint(acceptor_.local_endpoint(ignored));
        }
    }

    ~RealAcceptor() override { close(); }

    Task<Result<std::unique_ptr<Socket>>> accept() override
    {
        auto [code, socket] = co_await acceptor_.async_accept(tuple_task);
        if (!acceptor_.is_open()) {
            co_return fail(ErrorKind::closed, "no longer listening");
        }
        if (code == asio::error::operation_aborted) {
            throw boost::system::system_error(code);
        }
        if (code) {
            co_return std::unexpected(Error{ErrorKind::io, fmt::format("accept: {}", code.message())});
        }
        co_return std::make_unique<RealSocket<Protocol>>(std::move(socket));
    }

    Endpoint local_endpoint() const override { return local_; }

    void close() override
    {
        auto ignored = boost::system::error_code{};
        acceptor_.close(ignored);
        if (!path_.empty()) {
            ::unlink(path_.c_str());
            path_.clear();
        }
    }

private:
    Native acceptor_;
    Endpoint local_;
    std::filesystem::path path_;
};

using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using LocalProtocol = asio::local::stream_protocol;

Task<boost::system::error_code> connect_socket(TcpSocket& socket, asio::ip::tcp::endpoint endpoint)
{
    auto [code] = co_await socket.async_connect(endpoint, tuple_task);
    co_return code;
}

}  // namespace

Task<Result<std::unique_ptr<Socket>>> RealNetwork::connect(Endpoint to, Deadline deadline)
{
    using Timer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                             Executor>;
    auto socket = TcpSocket(context_);
    auto timer = Timer(context_);
    auto expired = std::make_shared<bool>(false);
    if (!deadline.is_never()) {
        timer.expires_at(std::chrono::steady_clock::time_point(deadline.at().time_since_epoch()));
        timer.async_wait([&socket, expired](boost::system::error_code code) {
            if (!code && !*expired) {
                *expired = true;
                socket.close(code);
            }
        });
    }
    // Its timer may have fired already, and be about to tell, when the task is cancelled.
    struct Over {
        std::shared_ptr<bool> expired;
        ~Over() { *expired = true; }
    } const over{expired};
    auto const code = co_await connect_socket(socket, asio::ip::tcp::endpoint(to.address, to.port));
    auto const too_late = std::exchange(*expired, true);
    if (too_late) {
        co_return fail(ErrorKind::timed_out, "no connection to {} in time", to.text());
    }
    if (code == asio::error::operation_aborted) {
        throw boost::system::system_error(code);
    }
    if (code) {
        co_return std::unexpected(to_error(fmt::format("cannot connect to {}", to.text()), code));
    }
    co_return std::make_unique<RealSocket<asio::ip::tcp>>(std::move(socket));
}

Result<std::unique_ptr<Acceptor>> RealNetwork::listen(Endpoint at)
{
    auto const endpoint = asio::ip::tcp::endpoint(at.address, at.port);
    auto acceptor = RealAcceptor<asio::ip::tcp>::Native(context_);
    auto code = boost::system::error_code{};
    acceptor.open(endpoint.protocol(), code);
    if (!code) {
        acceptor.set_option(asio::socket_base::reuse_address(true), code);
    }
    if (!code && at.address.is_v6()) {
        acceptor.set_option(asio::ip::v6_only(true), code);
    }
    if (!code) {
        acceptor.bind(endpoint, code);
    }
    if (!code) {
        acceptor.listen(asio::socket_base::max_listen_connections, code);
    }
    if (code) {
        return std::unexpected(to_error(fmt::format("cannot listen on {}", at.text()), code));
    }
    return std::make_unique<RealAcceptor<asio::ip::tcp>>(std::move(acceptor), std::filesystem::path{});
}

Result<std::unique_ptr<Acceptor>> RealNetwork::listen_local(std::filesystem::path const& path)
{
    if (path.native().size() >= sizeof(sockaddr_un::sun_path)) {
        return fail(ErrorKind::malformed, "the socket path {} is longer than the system allows", path.string());
    }
    struct stat status = {};
    if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
        return fail(ErrorKind::conflict, "{} is there already and is no socket", path.string());
    }
    ::unlink(path.c_str());
    auto acceptor = RealAcceptor<LocalProtocol>::Native(context_);
    auto code = boost::system::error_code{};
    acceptor.open(LocalProtocol(), code);
    auto const old_mask = ::umask(0177);
    if (!code) {
        acceptor.bind(LocalProtocol::endpoint(path.string()), code);
    }
    ::umask(old_mask);
    if (!code) {
        acceptor.listen(asio::socket_base::max_listen_connections, code);
    }
    if (code) {
        return std::unexpected(to_error(fmt::format("cannot listen on {}", path.string()), code));
    }
    return std::make_unique<RealAcceptor<LocalProtocol>>(std::move(acceptor), path);
}

Task<Result<std::unique_ptr<Socket>>> RealNetwork::connect_local(std::filesystem::path const& path)
{
    if (path.native().size() >= sizeof(sockaddr_un::sun_path)) {
        co_return fail(ErrorKind::malformed, "the socket path {} is longer than the system allows", path.string());
    }
    auto socket = asio::basic_stream_socket<LocalProtocol, Executor>(context_);
    auto const endpoint = LocalProtocol::endpoint(path.string());
    auto [code] = co_await socket.async_connect(endpoint, tuple_task);
    if (code) {
        co_return std::unexpected(to_error(fmt::format("cannot connect to {}", path.string()), code));
    }
    co_return std::make_unique<RealSocket<LocalProtocol>>(std::move(socket));
}

std::vector<InterfaceAddress> RealNetwork::interface_addresses()
{
    auto addresses = std::vector<InterfaceAddress>{};
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) {
        return addresses;
    }
    for (auto const* entry = first; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) {
            continue;
        }
        if (entry->ifa_addr->sa_family == AF_INET) {
            auto const* in = reinterpret_cast<sockaddr_in const*>(entry->ifa_addr);
            addresses.push_back({entry->ifa_name, asio::ip::address_v4(ntohl(in->sin_addr.s_addr))});
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            auto const* in = reinterpret_cast<sockaddr_in6 const*>(entry->ifa_addr);
            auto bytes = asio::ip::address_v6::bytes_type{};
            std::memcpy(bytes.data(), in->sin6_addr.s6_addr, bytes.size());
            addresses.push_back({entry->ifa_name, asio::ip::address_v6(bytes, in->sin6_scope_id)});
        }
    }
    ::freeifaddrs(first);
    return addresses;
}

std::unique_ptr<Socket> adopt_local_socket(Executor executor, int descriptor)
{
    auto socket = asio::basic_stream_socket<LocalProtocol, Executor>(executor, LocalProtocol(), descriptor);
    return std::make_unique<RealSocket<LocalProtocol>>(std::move(socket));
}

}  // namespace plexus
