#include "base/sim_network.h"

namespace plexus::sim {

Pipe::Pipe(World::State& world, std::string from, std::string to)
    : world_(world), from_(std::move(from)), to_(std::move(to)), changed_(world.context.get_executor()),
      random_(world.random.get("network"))
{
    watcher_ = ++world_.last_watcher;
    world_.link_watchers.emplace(watcher_, [this] { link_changed(); });
}

Pipe::~Pipe()
{
    world_.link_watchers.erase(watcher_);
    world_.cancel(break_timer_);
}

Duration Pipe::travel_time(Link const& link, std::size_t size)
{
    auto const serial = Duration(static_cast<std::int64_t>(1e9 * static_cast<double>(size) /
                                                           static_cast<double>(link.bytes_per_second)));
    line_free_ = std::max(line_free_, world_.now) + serial;
    auto delay = line_free_ - world_.now + link.delay;
    if (link.jitter > Duration::zero()) {
        delay += Duration(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(link.jitter.count()))));
    }
    while (link.loss > 0 && static_cast<double>(random_.below(1'000'000)) < link.loss * 1e6) {
        delay += link.retransmit;
    }
    return delay;
}

void Pipe::send(Bytes bytes, bool last)
{
    auto const link = world_.link(from_, to_);
    if (silent_) {
        return;
    }
    if (link.cut) {
        held_.emplace_back(std::move(bytes), last);
        return;
    }
    // One step later than the last, so that equal moments cannot change the order.
    last_arrival_ = std::max(last_arrival_ + Duration(1), world_.now + travel_time(link, bytes.size()));
    world_.schedule(last_arrival_, "bytes", [weak = weak_from_this(), bytes = std::move(bytes), last]() mutable {
        if (auto const self = weak.lock()) {
            self->arrive(std::move(bytes), last);
        }
    });
}

void Pipe::arrive(Bytes bytes, bool last)
{
    if (broken_ || silent_) {
        return;
    }
    if (world_.link(from_, to_).cut) {
        held_.emplace_back(std::move(bytes), last);
        return;
    }
    world_.hash = mix(world_.hash, bytes.size());
    arrived_.insert(arrived_.end(), bytes.begin(), bytes.end());
    ended_ = ended_ || last;
    changed_.notify();
}

void Pipe::link_changed()
{
    auto const link = world_.link(from_, to_);
    world_.cancel(break_timer_);
    break_timer_ = 0;
    if (link.cut) {
        break_timer_ = world_.schedule(world_.now + link.break_after, "break", [this] { break_off(); });
        return;
    }
    auto held = std::exchange(held_, {});
    for (auto& [bytes, last] : held) {
        send(std::move(bytes), last);
    }
}

Task<Result<void>> Pipe::write(ByteView bytes)
{
    auto const self = shared_from_this();
    while (!bytes.empty()) {
        while (outstanding_ >= buffer_limit && !broken_) {
            co_await changed_.wait();
        }
        if (broken_ || ended_) {
            co_return fail(ErrorKind::closed, "the connection is closed");
        }
        auto const count = std::min({bytes.size(), segment, buffer_limit - outstanding_});
        outstanding_ += count;
        send(to_bytes(bytes.first(count)), false);
        bytes = bytes.subspan(count);
    }
    co_return Result<void>{};
}

Task<Result<std::size_t>> Pipe::read_some(MutableByteView buffer)
{
    auto const self = shared_from_this();
    while (arrived_.empty() && !ended_ && !broken_) {
        co_await changed_.wait();
    }
    if (broken_) {
        co_return fail(ErrorKind::closed, "the connection was reset");
    }
    auto count = std::min(buffer.size(), arrived_.size());
    if (count > 1 && static_cast<double>(random_.below(1'000'000)) < world_.split_share * 1e6) {
        count = random_.below(2) == 0 ? 1 : 1 + static_cast<std::size_t>(random_.below(count));
    }
    std::copy_n(arrived_.begin(), count, buffer.begin());
    arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<std::ptrdiff_t>(count));
    outstanding_ -= count;
    if (count > 0) {
        changed_.notify();
    }
    co_return count;
}

void Pipe::end()
{
    send({}, true);
}

void Pipe::break_off()
{
    broken_ = true;
    held_.clear();
    changed_.notify();
}

void Pipe::break_off_later()
{
    auto const link = world_.link(from_, to_);
    if (silent_ || link.cut) {
        return;
    }
    world_.schedule(std::max(last_arrival_ + Duration(1), world_.now + link.delay), "reset", [weak = weak_from_this()] {
        if (auto const self = weak.lock()) {
            self->break_off();
        }
    });
}

SimSocket::SimSocket(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, Endpoint local, Endpoint remote)
    : in_(std::move(in)), out_(std::move(out)), local_(local), remote_(remote)
{
}

SimSocket::~SimSocket()
{
    reset();
}

Task<Result<std::size_t>> SimSocket::read_some(MutableByteView buffer)
{
    auto const in = in_;
    co_return co_await in->read_some(buffer);
}

Task<Result<void>> SimSocket::write(ByteView bytes)
{
    auto const out = out_;
    co_return co_await out->write(bytes);
}

Task<Result<void>> SimSocket::write_gathered(std::span<ByteView const> parts)
{
    auto whole = Bytes{};
    for (auto part : parts) {
        append(whole, part);
    }
    auto const out = out_;
    co_return co_await out->write(whole);
}

Task<Result<void>> SimSocket::close_write()
{
    if (!std::exchange(ended_, true)) {
        out_->end();
    }
    co_return Result<void>{};
}

void SimSocket::reset()
{
    if (std::exchange(closed_, true)) {
        return;
    }
    in_->break_off();
    // After an orderly end the other side still reads what is under way; otherwise it sees a reset.
    if (!ended_) {
        out_->break_off_later();
    }
}

SimAcceptor::SimAcceptor(World::State& world, Endpoint at)
    : world_(world), at_(at), waiting_(world.context.get_executor(), backlog)
{
    world_.acceptors[at_] = this;
}

SimAcceptor::~SimAcceptor()
{
    close();
}

Task<Result<std::unique_ptr<Socket>>> SimAcceptor::accept()
{
    co_return co_await waiting_.pop();
}

void SimAcceptor::close()
{
    if (!waiting_.is_closed()) {
        world_.acceptors.erase(at_);
        waiting_.close();
    }
}

bool SimAcceptor::offer(std::unique_ptr<Socket> socket)
{
    return waiting_.try_push(std::move(socket));
}

SimNetwork::SimNetwork(World::State& world, std::string name, asio::ip::address address)
    : world_(world), name_(std::move(name)), address_(address), interfaces_changed_(world.context.get_executor())
{
}

void SimNetwork::crash(bool silent)
{
    crashed_ = true;
    for (auto const& half : std::exchange(sockets_, {})) {
        if (auto const out = half.out.lock()) {
            silent ? out->silence() : out->break_off_later();
        }
        if (auto const in = half.in.lock()) {
            in->silence();
            in->break_off();
        }
    }
}

std::string SimNetwork::device_at(asio::ip::address const& address) const
{
    if (address.is_loopback() || address == address_) {
        return name_;
    }
    for (auto const& device : world_.devices) {
        if (device->address() == address) {
            return device->name();
        }
    }
    return {};
}

void SimNetwork::remember(std::shared_ptr<Pipe> const& in, std::shared_ptr<Pipe> const& out)
{
    std::erase_if(sockets_, [](Half const& half) { return half.in.expired() && half.out.expired(); });
    sockets_.push_back({in, out});
}

Task<> SimNetwork::travel(Endpoint to)
{
    auto const other = device_at(to.address);
    auto arrived = Signal(world_.context.get_executor());
    auto there = false;
    while (!there) {
        auto const link = world_.link(name_, other);
        auto const wait = link.cut || crashed_ || other.empty() ? Duration(std::chrono::milliseconds(500)) : link.delay * 2;
        auto const usable = !link.cut && !crashed_ && !other.empty();
        struct Timer {
            World::State& world;
            Env::TimerId id;
            ~Timer() { world.cancel(id); }
        };
        auto over = false;
        auto const timer = Timer{world_, world_.schedule(world_.now + wait, "connect", [&] {
                                     over = true;
                                     arrived.notify();
                                 })};
        while (!over) {
            co_await arrived.wait();
        }
        there = usable && !world_.link(name_, other).cut && !crashed_;
    }
}

Task<Result<std::unique_ptr<Socket>>> SimNetwork::connect(Endpoint to, Deadline deadline)
{
    struct Limit {
        World::State& world;
        asio::cancellation_signal stop{};
        bool expired = false;
        Env::TimerId id = 0;
        ~Limit() { world.cancel(id); }
    };
    auto limit = Limit{world_};
    auto const outer = co_await asio::this_coro::cancellation_state;
    auto slot = outer.slot();
    if (slot.is_connected()) {
        slot.assign([&](asio::cancellation_type type) { limit.stop.emit(type); });
    }
    if (!deadline.is_never()) {
        limit.id = world_.schedule(deadline.at(), "connect deadline", [&] {
            limit.expired = true;
            limit.stop.emit(asio::cancellation_type::terminal);
        });
    }
    try {
        auto bound = asio::bind_cancellation_slot(limit.stop.slot(), use_task);
        co_await asio::co_spawn(world_.context.get_executor(), travel(to), bound);
    } catch (boost::system::system_error const&) {
        if (!limit.expired) {
            throw;
        }
    }
    if (slot.is_connected()) {
        slot.clear();
    }
    if (limit.expired) {
        co_return fail(ErrorKind::timed_out, "no connection to {} in time", to.text());
    }
    auto accepted = std::unique_ptr<Socket>{};
    auto const other = device_at(to.address);
    auto acceptor = world_.acceptors.find(Endpoint{to.address.is_loopback() ? address_ : to.address, to.port});
    if (acceptor == world_.acceptors.end()) {
        co_return fail(ErrorKind::refused, "cannot connect to {}: connection refused", to.text());
    }
    auto const target = std::ranges::find(world_.devices, other, [](auto const& device) { return device->name(); });
    auto& network = static_cast<SimNetwork&>((*target)->network());
    auto mine = make_pair(other, to, network, accepted);
    if (!acceptor->second->offer(std::move(accepted))) {
        co_return fail(ErrorKind::refused, "cannot connect to {}: too many wait there", to.text());
    }
    co_return mine;
}

std::unique_ptr<Socket> SimNetwork::make_pair(std::string const& other, Endpoint to, SimNetwork& target,
                                              std::unique_ptr<Socket>& accepted)
{
    auto const there = std::make_shared<Pipe>(world_, name_, other);
    auto const back = std::make_shared<Pipe>(world_, other, name_);
    auto const local = Endpoint{address_, ++next_port_};
    remember(back, there);
    target.remember(there, back);
    accepted = std::make_unique<SimSocket>(there, back, to, local);
    return std::make_unique<SimSocket>(back, there, local, to);
}

Result<std::unique_ptr<Acceptor>> SimNetwork::listen(Endpoint at)
{
    auto bound = Endpoint{address_, at.port};
    if (bound.port == 0) {
        bound.port = 20'000;
        while (world_.acceptors.contains(bound)) {
            ++bound.port;
        }
    }
    if (world_.acceptors.contains(bound)) {
        return fail(ErrorKind::conflict, "cannot listen on {}: address in use", bound.text());
    }
    return std::make_unique<SimAcceptor>(world_, bound);
}

namespace {

/// Local sockets live in the same table as ports of a reserved address.
Endpoint local_endpoint_of(asio::ip::address const& device, std::filesystem::path const& path)
{
    auto const hash = hash_text(path.native() + device.to_string());
    return {asio::ip::address_v4(static_cast<std::uint32_t>(hash >> 16) | 0xf0000000U),
            static_cast<std::uint16_t>(hash)};
}

}  // namespace

Result<std::unique_ptr<Acceptor>> SimNetwork::listen_local(std::filesystem::path const& path)
{
    auto const at = local_endpoint_of(address_, path);
    if (world_.acceptors.contains(at)) {
        return fail(ErrorKind::conflict, "cannot listen on {}: address in use", path.string());
    }
    return std::make_unique<SimAcceptor>(world_, at);
}

Task<Result<std::unique_ptr<Socket>>> SimNetwork::connect_local(std::filesystem::path const& path)
{
    auto const acceptor = world_.acceptors.find(local_endpoint_of(address_, path));
    if (acceptor == world_.acceptors.end()) {
        co_return fail(ErrorKind::not_found, "cannot connect to {}: no such file", path.string());
    }
    auto [mine, accepted] = make_local_pair(world_, name_);
    if (!acceptor->second->offer(std::move(accepted))) {
        co_return fail(ErrorKind::refused, "cannot connect to {}: too many wait there", path.string());
    }
    co_return std::move(mine);
}

std::vector<InterfaceAddress> SimNetwork::interface_addresses()
{
    return {{"lo", asio::ip::make_address("127.0.0.1")}, {"eth0", address_}};
}

Result<std::unique_ptr<InterfaceWatch>> SimNetwork::watch_interfaces()
{
    return std::make_unique<SimInterfaceWatch>(interfaces_changed_);
}

Result<std::unique_ptr<GroupSocket>> SimNetwork::join_group(Endpoint group, InterfaceAddress const& at)
{
    if (at.address != address_ || group.address.is_v6()) {
        return fail(ErrorKind::unavailable, "cannot join {} on {}", group.text(), at.name);
    }
    return std::make_unique<SimGroupSocket>(world_, *this, group);
}

SimGroupSocket::SimGroupSocket(World::State& world, SimNetwork& network, Endpoint group)
    : world_(world), network_(network), group_(group), id_(++world.last_member),
      waiting_(world.context.get_executor(), backlog), random_(world.random.get("datagrams"))
{
    world_.members.emplace(id_, this);
}

SimGroupSocket::~SimGroupSocket()
{
    world_.members.erase(id_);
}

Result<void> SimGroupSocket::send(ByteView datagram)
{
    if (network_.crashed()) {
        return {};
    }
    for (auto const& [id, member] : world_.members) {
        auto const link = world_.link(network_.name(), member->network_.name());
        auto const is_own = &member->network_ == &network_;
        auto const is_lost = !is_own && static_cast<double>(random_.below(1'000'000)) < link.loss * 1e6;
        if (member->group_ == group_ && !is_lost && (is_own || !link.cut)) {
            send_to(id, is_own ? Duration::zero() : link.delay, datagram);
        }
    }
    return {};
}

void SimGroupSocket::send_to(std::uint64_t member, Duration delay, ByteView datagram)
{
    world_.schedule(world_.now + delay, "datagram", [&world = world_, member, bytes = to_bytes(datagram)]() mutable {
        auto const found = world.members.find(member);
        if (found != world.members.end() && !found->second->network_.crashed()) {
            std::ignore = found->second->waiting_.try_push(std::move(bytes));
        }
    });
}

std::pair<std::unique_ptr<Socket>, std::unique_ptr<Socket>> make_local_pair(World::State& world,
                                                                            std::string const& name)
{
    auto const there = std::make_shared<Pipe>(world, name, name);
    auto const back = std::make_shared<Pipe>(world, name, name);
    return {std::make_unique<SimSocket>(back, there, Endpoint{}, Endpoint{}),
            std::make_unique<SimSocket>(there, back, Endpoint{}, Endpoint{})};
}

}  // namespace plexus::sim
