#include "host/host.h"

#include "base/log.h"
#include "host/address_book.h"
#include "host/connection_table.h"
#include "host/dialler.h"
#include "host/host_stream.h"
#include "host/identify_service.h"
#include "host/listener.h"
#include "host/ping.h"
#include "host/protocols.h"

namespace plexus::host {

namespace {

using Action = std::function<void(PeerId const&)>;

void tell(std::vector<Action> const& actions, PeerId const& peer)
{
    for (auto const& action : actions) {
        action(peer);
    }
}

constexpr auto bulk_idle_limit = std::chrono::seconds(30);  // without a stream

/// Joins the parts: what the listener and the dialler secured is judged and kept here, and served until it ends.
class HostImpl final : public Host {
public:
    HostImpl(Env& env, crypto::KeyPair identity, Gater& gater, Options options);

    PeerId const& local_peer() const override { return peer_; }
    Result<Multiaddr> listen(Multiaddr const& address) override;
    std::vector<Multiaddr> listen_addresses() const override { return listener_.addresses(); }
    void handle(std::string protocol, Admission least, StreamHandler handler, ConnectionUse use) override;
    Task<Result<void>> connect(PeerId peer, std::vector<Multiaddr> addresses, Deadline deadline) override;
    Task<Result<std::unique_ptr<Stream>>> open_stream(PeerId peer, std::string protocol, Deadline deadline,
                                                      ConnectionUse use) override;
    void remember_addresses(PeerId const& peer, std::vector<Multiaddr> addresses) override
    {
        book_.remember(peer, std::move(addresses));
    }
    std::vector<Multiaddr> remembered_addresses(PeerId const& peer) const override { return book_.of(peer); }
    void disconnect(PeerId const& peer) override;
    void reconsider() override;
    std::vector<ConnectionInfo> connections() const override { return connections_.infos(); }
    void on_member_connected(Action action) override { connected_.push_back(std::move(action)); }
    void on_member_disconnected(Action action) override { disconnected_.push_back(std::move(action)); }
    Task<Result<Duration>> ping(PeerId peer, Deadline deadline) override;
    Task<> stop() override;

private:
    TakeSecured taker()
    {
        return [this](Secured secured) { return take(std::move(secured)); };
    }
    Result<void> take(Secured secured);
    Task<> serve(ConnectionHandle connection);
    Task<> show_out(ConnectionHandle connection);
    Task<> close_when_idle(ConnectionHandle connection);
    void found_bulk(Connection& connection);
    Task<ConnectionHandle> bulk_connection(PeerId peer, Deadline deadline);
    void reconsider(ConnectionHandle const& connection);
    Identify describe() const;
    void push_identity();

    Env& env_;
    crypto::KeyPair identity_;
    Gater& gater_;
    Options options_;
    PeerId peer_;
    AddressBook book_;
    ConnectionTable connections_;
    Protocols protocols_;
    IdentifyService identify_;
    Dialler dialler_;
    Listener listener_;
    std::vector<Action> connected_;
    std::vector<Action> disconnected_;
    bool stopping_ = false;
    Signal quiet_;
    TaskScope tasks_;
};

HostImpl::HostImpl(Env& env, crypto::KeyPair identity, Gater& gater, Options options)
    : env_(env), identity_(std::move(identity)), gater_(gater), options_(std::move(options)),
      peer_(PeerId::from_public_key(identity_.public_key().encode()).value()), connections_(env, options_.limits),
      protocols_(env, options_.limits.negotiation, [this](Connection& connection) { found_bulk(connection); }),
      identify_(env, book_, [this] { return describe(); }), dialler_(env, identity_, gater, book_, tasks_, taker()),
      listener_(env, identity_, gater, options_.limits, tasks_, taker(), [this] { return !connections_.is_full(); }),
      quiet_(env.executor()), tasks_(env.executor())
{
    auto answer = [this](std::unique_ptr<Stream> stream) { return identify_.serve(std::move(stream)); };
    auto hear = [this](std::unique_ptr<Stream> stream) { return identify_.serve_push(std::move(stream)); };
    handle(std::string(identify_protocol), Admission::member, std::move(answer), ConnectionUse::main);
    handle(std::string(identify_push_protocol), Admission::member, std::move(hear), ConnectionUse::main);
    handle(std::string(ping_protocol), Admission::member, serve_ping, ConnectionUse::main);
}

Result<Multiaddr> HostImpl::listen(Multiaddr const& address)
{
    auto bound = listener_.listen(address);
    if (bound) {
        push_identity();
    }
    return bound;
}

void HostImpl::handle(std::string protocol, Admission least, StreamHandler handler, ConnectionUse use)
{
    auto const is_new = protocols_.set(std::move(protocol), least, std::move(handler), use);
    if (is_new) {
        push_identity();
    }
}

/// The door of every connection, whoever began it.
Result<void> HostImpl::take(Secured secured)
{
    auto const outbound = secured.role == security::Role::initiator;
    auto const direction = outbound ? Direction::outbound : Direction::inbound;
    auto const& peer = secured.session.peer;
    auto const admission = peer == peer_ ? Admission::refused : gater_.admit(peer, direction);
    if (stopping_ || admission == Admission::refused) {
        log::debug("connection refused", {{"peer", peer.short_text()}});
        return fail(ErrorKind::not_allowed, "{} is not a member", peer.text());
    }
    if (auto const room = connections_.check_room(peer, direction, admission); !room) {
        return std::unexpected(room.error());
    }
    auto const is_main = secured.use == ConnectionUse::main;
    auto const first = is_main && admission == Admission::member && !connections_.has_member(peer);
    auto const connection = connections_.add(std::move(secured), admission);
    tasks_.spawn("connection to " + connection->peer().short_text(), serve(connection));
    if (first) {
        tell(connected_, connection->peer());
    }
    return {};
}

Task<> HostImpl::serve(ConnectionHandle connection)
{
    if (connection->admission() == Admission::member) {
        identify_.ask(connection);
    } else {
        connection->tasks().spawn("show out " + connection->peer().short_text(), show_out(connection));
    }
    if (connection->use == ConnectionUse::bulk) {
        connection->tasks().spawn("idle " + connection->peer().short_text(), close_when_idle(connection));
    }
    auto accept = [this](ConnectionHandle owner, muxer::StreamId id) { return protocols_.serve(std::move(owner), id); };
    co_await connection->run(std::move(accept), options_.keep_alive);
    auto const was_member = connection->admission() == Admission::member && connection->use == ConnectionUse::main;
    connections_.remove(*connection);
    if (was_member && !connections_.has_member(connection->peer())) {
        tell(disconnected_, connection->peer());
    }
    quiet_.notify();
}

/// A stranger stays no longer than a pairing takes.
Task<> HostImpl::show_out(ConnectionHandle connection)
{
    co_await sleep_for(env_, options_.limits.pairing);
    if (connection->admission() != Admission::member) {
        connection->close();
    }
}

/// Who dialled for bulk lets the connection go.
Task<> HostImpl::close_when_idle(ConnectionHandle connection)
{
    for (auto idle_since = env_.now(); env_.now() - idle_since < bulk_idle_limit;) {
        co_await sleep_for(env_, bulk_idle_limit / 4);
        idle_since = connection->streams() > 0 ? env_.now() : idle_since;
    }
    connection->close();
}

/// The other side sends bulk here: keep what is ours away from it. The only connection serves for all.
void HostImpl::found_bulk(Connection& connection)
{
    if (connection.use == ConnectionUse::bulk) {
        return;
    }
    connection.use = ConnectionUse::bulk;
    if (!connections_.has_member(connection.peer())) {
        connection.use = ConnectionUse::main;
    }
}

Task<ConnectionHandle> HostImpl::bulk_connection(PeerId peer, Deadline deadline)
{
    if (!connections_.best(peer, ConnectionUse::bulk)) {
        auto const addresses = remembered_addresses(peer);
        std::ignore = co_await dialler_.dial(peer, addresses, ConnectionUse::bulk, deadline);
    }
    co_return connections_.best(peer, ConnectionUse::bulk);
}

Task<Result<void>> HostImpl::connect(PeerId peer, std::vector<Multiaddr> addresses, Deadline deadline)
{
    if (connections_.best(peer)) {
        co_return Result<void>{};
    }
    if (peer == peer_) {
        co_return fail(ErrorKind::malformed, "a device does not connect to itself");
    }
    if (stopping_) {
        co_return fail(ErrorKind::closed, "the host is stopping");
    }
    auto const why_not = co_await dialler_.dial(peer, std::move(addresses), ConnectionUse::main, deadline);
    if (connections_.best(peer)) {
        co_return Result<void>{};
    }
    co_return std::unexpected(why_not);
}

Task<Result<std::unique_ptr<Stream>>> HostImpl::open_stream(PeerId peer, std::string protocol, Deadline deadline,
                                                            ConnectionUse use)
{
    if (!connections_.best(peer)) {
        auto const connected = co_await connect(peer, remembered_addresses(peer), deadline);
        if (!connected) {
            co_return std::unexpected(connected.error());
        }
    }
    auto connection = ConnectionHandle{};
    if (use == ConnectionUse::bulk) {
        connection = co_await bulk_connection(peer, deadline);
    }
    if (!connection) {
        connection = connections_.best(peer);
    }
    if (!connection) {
        co_return fail(ErrorKind::closed, "the connection was lost");
    }
    auto const known = std::ranges::find(connection->protocols, protocol) != connection->protocols.end();
    if (connection->identified && !known) {
        co_return fail(ErrorKind::refused, "the other side does not speak {}", protocol);
    }
    auto const id = connection->open();
    if (!id) {
        co_return std::unexpected(id.error());
    }
    co_return std::make_unique<HostStream>(connection, *id, std::move(protocol));
}

void HostImpl::disconnect(PeerId const& peer)
{
    for (auto const& [id, connection] : connections_.all()) {
        if (connection->peer() == peer) {
            connection->close();
        }
    }
}

void HostImpl::reconsider()
{
    auto const current = connections_.all();
    for (auto const& [id, connection] : current) {
        reconsider(connection);
    }
}

void HostImpl::reconsider(ConnectionHandle const& connection)
{
    auto const before = connection->admission();
    auto const now = gater_.admit(connection->peer(), connection->direction());
    if (now == Admission::refused || now < before) {
        connection->abort();  // its streams were agreed on when it was allowed more
        return;
    }
    auto const becomes_member = before != Admission::member && now == Admission::member;
    auto const is_main = connection->use == ConnectionUse::main;
    auto const first = becomes_member && is_main && !connections_.has_member(connection->peer());
    connection->set_admission(now);
    if (becomes_member) {
        identify_.ask(connection);
    }
    if (first) {
        tell(connected_, connection->peer());
    }
}

Identify HostImpl::describe() const
{
    return {.public_key = identity_.public_key().encode(),
            .listen_addresses = listener_.addresses(),
            .protocols = protocols_.names(),
            .protocol_version = options_.protocol_version,
            .agent = options_.agent};
}

void HostImpl::push_identity()
{
    for (auto const& [id, connection] : connections_.all()) {
        identify_.push(connection);
    }
}

Task<Result<Duration>> HostImpl::ping(PeerId peer, Deadline deadline)
{
    auto const stream = co_await open_stream(peer, std::string(ping_protocol), deadline, ConnectionUse::main);
    if (!stream) {
        co_return std::unexpected(stream.error());
    }
    co_return co_await measure_ping(env_, **stream, deadline);
}

Task<> HostImpl::stop()
{
    stopping_ = true;
    listener_.close();
    auto const current = connections_.all();
    for (auto const& [id, connection] : current) {
        connection->close();
    }
    while (!connections_.all().empty()) {
        co_await quiet_.wait();
    }
    co_await tasks_.join();
}

}  // namespace

std::unique_ptr<Host> make_host(Env& env, crypto::KeyPair identity, Gater& gater, Options options)
{
    return std::make_unique<HostImpl>(env, std::move(identity), gater, std::move(options));
}

}  // namespace plexus::host
