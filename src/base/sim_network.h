#pragma once

// Simulated sockets. Not for other modules: use SimEnv::network().

#include "base/sim_world.h"

namespace plexus::sim {

class SimNetwork;

/// One direction of a simulated connection: what was written arrives after the link's delay, in order.
class Pipe : public std::enable_shared_from_this<Pipe> {
public:
    static constexpr std::size_t buffer_limit = 512 * 1024;  // in flight and unread, as a socket buffer would hold
    static constexpr std::size_t segment = 64 * 1024;

    Pipe(World::State& world, std::string from, std::string to);
    ~Pipe();

    Task<Result<void>> write(ByteView bytes);
    Task<Result<std::size_t>> read_some(MutableByteView buffer);
    void end();
    /// Both sides see `closed`; what was not read is lost.
    void break_off();
    /// As break_off, seen by the reader after the link's delay.
    void break_off_later();
    /// From now on nothing arrives; the writer does not notice.
    void silence() { silent_ = true; }
    bool broken() const { return broken_; }

private:
    void send(Bytes bytes, bool last);
    void arrive(Bytes bytes, bool last);
    void link_changed();
    Duration travel_time(Link const& link, std::size_t size);

    World::State& world_;
    std::string from_;
    std::string to_;
    std::deque<std::byte> arrived_;
    std::deque<std::pair<Bytes, bool>> held_;  // written while the link was cut
    std::size_t outstanding_ = 0;
    Time last_arrival_{};
    Time line_free_{};
    bool ended_ = false;
    bool broken_ = false;
    bool silent_ = false;
    std::uint64_t watcher_ = 0;
    Env::TimerId break_timer_ = 0;
    Signal changed_;
    Random& random_;
};

class SimSocket final : public Socket {
public:
    SimSocket(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, Endpoint local, Endpoint remote);
    ~SimSocket() override;

    Task<Result<std::size_t>> read_some(MutableByteView buffer) override;
    Task<Result<void>> write(ByteView bytes) override;
    Task<Result<void>> write_gathered(std::span<ByteView const> parts) override;
    Task<Result<void>> close_write() override;
    void reset() override;
    Endpoint local_endpoint() const override { return local_; }
    Endpoint remote_endpoint() const override { return remote_; }

private:
    std::shared_ptr<Pipe> in_;
    std::shared_ptr<Pipe> out_;
    Endpoint local_;
    Endpoint remote_;
    bool ended_ = false;
    bool closed_ = false;
};

class SimAcceptor final : public Acceptor {
public:
    static constexpr std::size_t backlog = 128;

    SimAcceptor(World::State& world, Endpoint at);
    ~SimAcceptor() override;

    Task<Result<std::unique_ptr<Socket>>> accept() override;
    Endpoint local_endpoint() const override { return at_; }
    void close() override;
    bool offer(std::unique_ptr<Socket> socket);

private:
    World::State& world_;
    Endpoint at_;
    Mailbox<std::unique_ptr<Socket>> waiting_;
};

/// Datagrams to a group reach its members on all devices to which the link is not cut; loss loses them.
class SimGroupSocket final : public GroupSocket {
public:
    static constexpr std::size_t backlog = 256;

    SimGroupSocket(World::State& world, SimNetwork& network, Endpoint group);
    ~SimGroupSocket() override;

    Task<Result<Bytes>> receive() override { return waiting_.pop(); }
    Result<void> send(ByteView datagram) override;
    void close() override { waiting_.close(); }

private:
    void send_to(std::uint64_t member, Duration delay, ByteView datagram);

    World::State& world_;
    SimNetwork& network_;
    Endpoint group_;
    std::uint64_t id_;
    Mailbox<Bytes> waiting_;
    Random& random_;
};

class SimInterfaceWatch final : public InterfaceWatch {
public:
    explicit SimInterfaceWatch(Signal& changed) : changed_(changed) {}

    Task<Result<void>> changed() override
    {
        co_await changed_.wait();
        co_return Result<void>{};
    }

private:
    Signal& changed_;
};

class SimNetwork final : public Network {
public:
    SimNetwork(World::State& world, std::string name, asio::ip::address address);

    void crash(bool silent);
    void restart() { crashed_ = false; }
    std::string const& name() const { return name_; }
    bool crashed() const { return crashed_; }

    Task<Result<std::unique_ptr<Socket>>> connect(Endpoint to, Deadline deadline) override;
    Result<std::unique_ptr<Acceptor>> listen(Endpoint at) override;
    Result<std::unique_ptr<Acceptor>> listen_local(std::filesystem::path const& path) override;
    Task<Result<std::unique_ptr<Socket>>> connect_local(std::filesystem::path const& path) override;
    std::vector<InterfaceAddress> interface_addresses() override;
    Result<std::unique_ptr<InterfaceWatch>> watch_interfaces() override;
    Result<std::unique_ptr<GroupSocket>> join_group(Endpoint group, InterfaceAddress const& at) override;

private:
    struct Half {
        std::weak_ptr<Pipe> in;
        std::weak_ptr<Pipe> out;
    };
    Task<> travel(Endpoint to);
    std::string device_at(asio::ip::address const& address) const;
    std::unique_ptr<Socket> make_pair(std::string const& other, Endpoint to, SimNetwork& target,
                                      std::unique_ptr<Socket>& accepted);
    void remember(std::shared_ptr<Pipe> const& in, std::shared_ptr<Pipe> const& out);

    World::State& world_;
    std::string name_;
    asio::ip::address address_;
    std::uint16_t next_port_ = 40'000;
    bool crashed_ = false;
    Signal interfaces_changed_;
    std::vector<Half> sockets_;
};

/// Two connected sockets of one device, without delay.
std::pair<std::unique_ptr<Socket>, std::unique_ptr<Socket>> make_local_pair(World::State& world,
                                                                            std::string const& name);

}  // namespace plexus::sim
