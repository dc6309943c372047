#include "host/host.h"

#include "base/log.h"
#include "host/connection.h"
#include "host/host_stream.h"
#include "host/identify.h"
#include "stream/messages.h"

namespace plexus::host {

namespace {

constexpr std::string_view ping_protocol = "/ipfs/ping/1.0.0";
constexpr std::size_t ping_size = 32;
constexpr std::size_t max_remembered_peers = 1024;
constexpr std::size_t max_remembered_addresses = 32;
constexpr std::size_t max_dials_at_once = 8;  // to one peer
constexpr auto dial_stagger = std::chrono::milliseconds(250);
constexpr auto dial_limit = std::chrono::seconds(15);
constexpr auto identify_limit = std::chrono::seconds(5);
constexpr auto news_pause = std::chrono::milliseconds(100);  // several changes at a time are told together
constexpr std::size_t max_news_heard = 4;                    // pushes at a time on a connection
constexpr auto accept_pause = std::chrono::milliseconds(50);

struct Handler {
    Admission least;
    StreamHandler serve;
};

/// One attempt to reach a peer, shared by all who wait for it.
struct Dial {
    explicit Dial(Executor executor) : changed(std::move(executor)) {}
    std::size_t running = 0;  ///< attempts on one address each, and the task that begins them
    bool settled = false;
    Error last_error{ErrorKind::unavailable, "there is no address to dial"};
    Signal changed;
};

class HostImpl final : public Host {
public:
    HostImpl(Env& env, crypto::KeyPair identity, Gater& gater, Options options)
        : env_(env), identity_(std::move(identity)), gater_(gater), options_(std::move(options)),
          peer_(PeerId::from_public_key(identity_.public_key().encode()).value()), quiet_(env.executor()),
          tasks_(env.executor())
    {
        handle(std::string(identify_protocol), Admission::member, [this](auto stream) { return serve_identify(std::move(stream)); });
        handle(std::string(identify_push_protocol), Admission::member,
               [this](auto stream) { return serve_identify_push(std::move(stream)); });
        handle(std::string(ping_protocol), Admission::member, [](auto stream) { return serve_ping(std::move(stream)); });
    }

    PeerId const& local_peer() const override { return peer_; }
    Result<Multiaddr> listen(Multiaddr const& address) override;
    std::vector<Multiaddr> listen_addresses() const override;

    void handle(std::string protocol, Admission least, StreamHandler handler) override
    {
        auto const is_new = !handlers_.contains(protocol);
        handlers_[std::move(protocol)] = Handler{least, std::move(handler)};
        if (is_new) {
            push_identity();
        }
    }

    Task<Result<void>> connect(PeerId peer, std::vector<Multiaddr> addresses, Deadline deadline) override;
    Task<Result<std::unique_ptr<Stream>>> open_stream(PeerId peer, std::string protocol, Deadline deadline) override;
    void remember_addresses(PeerId const& peer, std::vector<Multiaddr> addresses) override;
    std::vector<Multiaddr> remembered_addresses(PeerId const& peer) const override;
    void disconnect(PeerId const& peer) override;
    void reconsider() override;
    std::vector<ConnectionInfo> connections() const override;
    void on_member_connected(std::function<void(PeerId const&)> action) override { connected_.push_back(std::move(action)); }
    void on_member_disconnected(std::function<void(PeerId const&)> action) override
    {
        disconnected_.push_back(std::move(action));
    }
    Task<Result<Duration>> ping(PeerId peer, Deadline deadline) override;
    Task<> stop() override;

private:
    using ConnectionHandle = std::shared_ptr<Connection>;

    Task<> accept_loop(Acceptor& acceptor);
    Task<> take_inbound(std::unique_ptr<Socket> socket);
    std::size_t handshakes_from(asio::ip::address const& address) const
    {
        auto const found = handshakes_.find(address);
        return found == handshakes_.end() ? 0 : found->second;
    }
    Task<> attempt_all(std::shared_ptr<Dial> dial, PeerId peer, std::vector<Endpoint> addresses, Deadline deadline);
    Task<> attempt(std::shared_ptr<Dial> dial, PeerId peer, Endpoint to, Deadline deadline);
    void end_attempt(Dial& dial, PeerId const& peer);
    Task<Result<ConnectionHandle>> dial_endpoint(PeerId peer, Endpoint to, Deadline deadline, Dial& dial);
    std::shared_ptr<Dial> start_dial(PeerId const& peer, std::vector<Multiaddr> const& addresses, Deadline deadline);
    Result<ConnectionHandle> register_connection(Secured secured);
    Result<void> check_room(PeerId const& peer, Direction direction, Admission admission) const;
    std::shared_ptr<Scope> scope_of(PeerId const& peer) const;
    Task<> serve(ConnectionHandle connection);
    Task<> show_out(ConnectionHandle connection);
    Task<> serve_stream(ConnectionHandle connection, muxer::StreamId id);
    Task<Result<std::unique_ptr<HostStream>>> negotiate_inbound(ConnectionHandle connection, muxer::StreamId id);
    void connection_ended(ConnectionHandle const& connection);
    ConnectionHandle best_connection(PeerId const& peer) const;
    bool has_member_connection(PeerId const& peer) const;
    bool supports(Connection const& connection, std::string_view protocol) const;

    Identify own_identify(Connection const& connection) const;
    Task<> serve_identify(std::unique_ptr<Stream> stream);
    Task<> serve_identify_push(std::unique_ptr<Stream> stream);
    Task<> ask_identity(ConnectionHandle connection);
    void push_identity();
    Task<> push_identity_to(ConnectionHandle connection);
    void learn(Connection& connection, Identify const& identify);
    static Task<> serve_ping(std::unique_ptr<Stream> stream);

    Env& env_;
    crypto::KeyPair identity_;
    Gater& gater_;
    Options options_;
    PeerId peer_;
    std::map<std::string, Handler, std::less<>> handlers_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::map<std::uint64_t, ConnectionHandle> connections_;
    std::uint64_t last_connection_ = 0;
    std::shared_ptr<Scope> scope_ = std::make_shared<Scope>(options_.limits.streams, options_.limits.memory_bytes);
    std::map<asio::ip::address, std::size_t> handshakes_;
    std::size_t handshake_count_ = 0;
    std::map<PeerId, std::shared_ptr<Dial>> dials_;
    std::map<PeerId, std::vector<Multiaddr>> addresses_;
    std::vector<std::function<void(PeerId const&)>> connected_;
    std::vector<std::function<void(PeerId const&)>> disconnected_;
    bool stopping_ = false;
    Signal quiet_;
    TaskScope tasks_;
};

Result<Multiaddr> HostImpl::listen(Multiaddr const& address)
{
    auto const endpoint = address.tcp_endpoint();
    if (!endpoint) {
        return fail(ErrorKind::malformed, "cannot listen on {}: only /ip4 or /ip6 with /tcp", address.text());
    }
    auto acceptor = env_.network().listen(*endpoint);
    if (!acceptor) {
        return std::unexpected(acceptor.error());
    }
    auto const bound = (*acceptor)->local_endpoint();
    acceptors_.push_back(std::move(*acceptor));
    tasks_.spawn("accept", accept_loop(*acceptors_.back()));
    push_identity();
    return Multiaddr::from_tcp(bound);
}

std::vector<Multiaddr> HostImpl::listen_addresses() const
{
    auto found = std::vector<Multiaddr>{};
    for (auto const& acceptor : acceptors_) {
        auto const bound = acceptor->local_endpoint();
        if (!bound.address.is_unspecified()) {
            found.push_back(Multiaddr::from_tcp(bound));
            continue;
        }
        for (auto const& interface : env_.network().interface_addresses()) {
            auto const link_local = interface.address.is_v6() && interface.address.to_v6().is_link_local();
            if (interface.address.is_v4() == bound.address.is_v4() && !link_local) {
                found.push_back(Multiaddr::from_tcp({interface.address, bound.port}));
            }
        }
    }
    return found;
}

Task<> HostImpl::accept_loop(Acceptor& acceptor)
{
    for (;;) {
        auto socket = co_await acceptor.accept();
        if (!socket && socket.error().kind == ErrorKind::closed) {
            co_return;
        }
        if (!socket) {
            co_await sleep_for(env_, accept_pause);  // out of descriptors, most likely
            continue;
        }
        auto const from = (*socket)->remote_endpoint();
        auto const room = handshake_count_ < options_.limits.pending_handshakes &&
                          handshakes_from(source_of(from.address)) < options_.limits.pending_handshakes_per_address &&
                          connections_.size() < options_.limits.connections;
        if (room && gater_.allow_address(from, Direction::inbound)) {
            tasks_.spawn("handshake", take_inbound(std::move(*socket)));
        }
    }
}

Task<> HostImpl::take_inbound(std::unique_ptr<Socket> socket)
{
    struct Pending {
        HostImpl& host;
        asio::ip::address from;
        Pending(HostImpl& owner, asio::ip::address address) : host(owner), from(std::move(address))
        {
            ++host.handshake_count_;
            ++host.handshakes_[from];
        }
        ~Pending()
        {
            --host.handshake_count_;
            if (--host.handshakes_[from] == 0) {
                host.handshakes_.erase(from);
            }
        }
    };
    auto const pending = Pending(*this, source_of(socket->remote_endpoint().address));
    auto const deadline = env_.deadline_in(options_.limits.handshake);
    auto secured = co_await secure(env_, std::move(socket), identity_, security::Role::responder, std::nullopt, deadline);
    if (!secured) {
        log::debug("handshake failed", {{"from", pending.from.to_string()}, {"reason", secured.error().text}});
        co_return;
    }
    std::ignore = register_connection(std::move(*secured));
}

Result<HostImpl::ConnectionHandle> HostImpl::register_connection(Secured secured)
{
    auto const outbound = secured.role == security::Role::initiator;
    auto const direction = outbound ? Direction::outbound : Direction::inbound;
    auto const& peer = secured.session.peer;
    auto const admission = peer == peer_ ? Admission::refused : gater_.admit(peer, direction);
    if (stopping_ || admission == Admission::refused) {
        log::debug("connection refused", {{"peer", peer.short_text()}});
        return fail(ErrorKind::not_allowed, "{} is not a member", peer.text());
    }
    if (auto const room = check_room(peer, direction, admission); !room) {
        return std::unexpected(room.error());
    }
    auto scope = scope_of(peer);
    auto const first = admission == Admission::member && !has_member_connection(peer);
    auto const connection = std::make_shared<Connection>(env_, ++last_connection_, std::move(secured), admission,
                                                         options_.limits, std::move(scope));
    connections_.emplace(connection->id(), connection);
    tasks_.spawn("connection to " + connection->peer().short_text(), serve(connection));
    if (first) {
        for (auto const& action : connected_) {
            action(connection->peer());
        }
    }
    return connection;
}

Result<void> HostImpl::check_room(PeerId const& peer, Direction direction, Admission admission) const
{
    auto const& limits = options_.limits;
    auto const count = [this](auto matches) {
        return static_cast<std::size_t>(
            std::ranges::count_if(connections_, [&](auto const& entry) { return matches(*entry.second); }));
    };
    auto const is_theirs = [&](Connection const& each) { return each.peer() == peer; };
    auto const is_stranger = [](Connection const& each) { return each.admission() == Admission::pairing; };
    auto const is_one_more = admission == Admission::pairing && direction == Direction::inbound;
    if (connections_.size() >= limits.connections || count(is_theirs) >= limits.connections_per_peer ||
        (is_one_more && count(is_stranger) >= limits.strangers)) {
        return fail(ErrorKind::unavailable, "too many connections");
    }
    return {};
}

std::shared_ptr<Scope> HostImpl::scope_of(PeerId const& peer) const
{
    for (auto const& [id, connection] : connections_) {
        if (connection->peer() == peer) {
            return connection->scope();
        }
    }
    return std::make_shared<Scope>(options_.limits.streams_per_peer, options_.limits.memory_bytes_per_peer, scope_);
}

/// A stranger stays no longer than a pairing takes.
Task<> HostImpl::show_out(ConnectionHandle connection)
{
    co_await sleep_for(env_, options_.limits.pairing);
    if (connection->admission() != Admission::member) {
        connection->close();
    }
}

Task<> HostImpl::serve(ConnectionHandle connection)
{
    if (connection->admission() == Admission::member) {
        connection->tasks().spawn("identify " + connection->peer().short_text(), ask_identity(connection));
    } else {
        connection->tasks().spawn("show out " + connection->peer().short_text(), show_out(connection));
    }
    auto accept = [this](ConnectionHandle owner, muxer::StreamId id) { return serve_stream(std::move(owner), id); };
    co_await connection->run(std::move(accept), options_.keep_alive);
    connection_ended(connection);
}

void HostImpl::connection_ended(ConnectionHandle const& connection)
{
    auto const was_member = connection->admission() == Admission::member;
    connections_.erase(connection->id());
    if (was_member && !has_member_connection(connection->peer())) {
        for (auto const& action : disconnected_) {
            action(connection->peer());
        }
    }
    quiet_.notify();
}

bool HostImpl::has_member_connection(PeerId const& peer) const
{
    return std::ranges::any_of(connections_, [&](auto const& entry) {
        return entry.second->peer() == peer && entry.second->admission() == Admission::member && !entry.second->closed();
    });
}

HostImpl::ConnectionHandle HostImpl::best_connection(PeerId const& peer) const
{
    auto best = ConnectionHandle{};
    for (auto const& [id, connection] : connections_) {
        if (connection->peer() == peer && !connection->is_ending() && (!best || connection->streams() > best->streams())) {
            best = connection;
        }
    }
    return best;
}

bool HostImpl::supports(Connection const& connection, std::string_view protocol) const
{
    auto const found = handlers_.find(protocol);
    return found != handlers_.end() && connection.admission() >= found->second.least;
}

Task<Result<std::unique_ptr<HostStream>>> HostImpl::negotiate_inbound(ConnectionHandle connection, muxer::StreamId id)
{
    auto negotiation = negotiation::Responder([&](std::string_view name) { return supports(*connection, name); });
    auto buffer = std::array<std::byte, 1024>{};
    while (!negotiation.done()) {
        auto const count = co_await connection->read_some(id, buffer);
        if (!count || *count == 0) {
            co_return fail(ErrorKind::closed, "the stream ended before a protocol was agreed");
        }
        auto const pushed = negotiation.push(ByteView(buffer).first(*count));
        auto const output = negotiation.take_output();
        if (!pushed) {
            co_return std::unexpected(pushed.error());
        }
        auto const sent = co_await connection->write(id, output);
        if (!sent) {
            co_return std::unexpected(sent.error());
        }
    }
    auto const protocol = negotiation.agreed();
    co_return std::make_unique<HostStream>(std::move(connection), id, protocol, negotiation.take_rest());
}

Task<> HostImpl::serve_stream(ConnectionHandle connection, muxer::StreamId id)
{
    auto const deadline = env_.deadline_in(options_.limits.negotiation);
    auto stream = co_await with_deadline(env_, deadline, negotiate_inbound(connection, id));
    if (!stream) {
        connection->release(id);
        co_return;
    }
    auto const found = handlers_.find((*stream)->protocol());
    if (found != handlers_.end()) {
        auto const serve = found->second.serve;
        co_await serve(std::move(*stream));
    }
}

std::shared_ptr<Dial> HostImpl::start_dial(PeerId const& peer, std::vector<Multiaddr> const& addresses, Deadline deadline)
{
    auto const dial = std::make_shared<Dial>(env_.executor());
    auto endpoints = std::vector<Endpoint>{};
    for (auto const& address : addresses) {
        auto const endpoint = address.tcp_endpoint();
        auto const named = address.peer();
        if (endpoint && (!named || *named == peer) && endpoints.size() < max_remembered_addresses &&
            gater_.allow_address(*endpoint, Direction::outbound)) {
            endpoints.push_back(*endpoint);
        }
    }
    if (!endpoints.empty()) {
        ++dial->running;
        dials_[peer] = dial;
        tasks_.spawn("dial " + peer.short_text(), attempt_all(dial, peer, std::move(endpoints), deadline));
    }
    return dial;
}

/// Begins with the next address after a while, or at once when those before have failed.
Task<> HostImpl::attempt_all(std::shared_ptr<Dial> dial, PeerId peer, std::vector<Endpoint> addresses,
                             Deadline deadline)
{
    struct Ending {
        HostImpl& host;
        Dial& dial;
        PeerId const& peer;
        ~Ending() { host.end_attempt(dial, peer); }
    } const ending{*this, *dial, peer};
    auto const under_way = [&dial] { return dial->running - 1; };
    for (auto const& address : addresses) {
        ++dial->running;
        tasks_.spawn("dial " + address.text(), attempt(dial, peer, address, deadline));
        auto const next = env_.now() + dial_stagger;
        auto const alarm = Alarm(env_, next, [dial] { dial->changed.notify(); });
        while (!dial->settled && under_way() > 0 && (env_.now() < next || under_way() >= max_dials_at_once)) {
            co_await dial->changed.wait();
        }
        if (dial->settled) {
            break;
        }
    }
}

void HostImpl::end_attempt(Dial& dial, PeerId const& peer)
{
    dial.settled = --dial.running == 0 || dial.settled;
    auto const found = dials_.find(peer);
    if (dial.settled && found != dials_.end() && found->second.get() == &dial) {
        dials_.erase(found);
    }
    dial.changed.notify();
}

Task<Result<HostImpl::ConnectionHandle>> HostImpl::dial_endpoint(PeerId peer, Endpoint to, Deadline deadline, Dial& dial)
{
    auto socket = co_await env_.network().connect(to, deadline);
    if (!socket) {
        co_return std::unexpected(socket.error());
    }
    if (dial.settled) {
        co_return fail(ErrorKind::cancelled, "another address answered first");
    }
    auto secured = co_await secure(env_, std::move(*socket), identity_, security::Role::initiator, peer, deadline);
    if (!secured) {
        co_return std::unexpected(secured.error());
    }
    if (dial.settled) {
        co_return fail(ErrorKind::cancelled, "another address answered first");
    }
    co_return register_connection(std::move(*secured));
}

Task<> HostImpl::attempt(std::shared_ptr<Dial> dial, PeerId peer, Endpoint to, Deadline deadline)
{
    struct Ending {
        HostImpl& host;
        Dial& dial;
        PeerId const& peer;
        ~Ending() { host.end_attempt(dial, peer); }
    } const ending{*this, *dial, peer};
    if (dial->settled) {
        co_return;
    }
    auto const dialled = co_await dial_endpoint(peer, to, deadline, *dial);
    if (dialled) {
        dial->settled = true;
        remember_addresses(peer, {Multiaddr::from_tcp(to)});
    } else if (dialled.error().kind != ErrorKind::cancelled) {
        dial->last_error = dialled.error();
    }
}

Task<Result<void>> HostImpl::connect(PeerId peer, std::vector<Multiaddr> addresses, Deadline deadline)
{
    if (best_connection(peer)) {
        co_return Result<void>{};
    }
    if (peer == peer_) {
        co_return fail(ErrorKind::malformed, "a device does not connect to itself");
    }
    if (stopping_) {
        co_return fail(ErrorKind::closed, "the host is stopping");
    }
    auto const limit = deadline.earlier(env_.deadline_in(dial_limit));
    auto const running = dials_.find(peer);
    auto const dial = running != dials_.end() ? running->second : start_dial(peer, addresses, limit);
    auto wait = [](std::shared_ptr<Dial> waited) -> Task<Result<void>> {
        while (waited->running > 0 && !waited->settled) {
            co_await waited->changed.wait();
        }
        co_return Result<void>{};
    };
    auto const waited = co_await with_deadline(env_, limit, wait(dial));
    if (best_connection(peer)) {
        co_return Result<void>{};
    }
    co_return std::unexpected(waited ? dial->last_error : waited.error());
}

Task<Result<std::unique_ptr<Stream>>> HostImpl::open_stream(PeerId peer, std::string protocol, Deadline deadline)
{
    if (!best_connection(peer)) {
        auto const connected = co_await connect(peer, remembered_addresses(peer), deadline);
        if (!connected) {
            co_return std::unexpected(connected.error());
        }
    }
    auto const connection = best_connection(peer);
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

void HostImpl::remember_addresses(PeerId const& peer, std::vector<Multiaddr> addresses)
{
    if (addresses.empty() || (!addresses_.contains(peer) && addresses_.size() >= max_remembered_peers)) {
        return;
    }
    auto& known = addresses_[peer];
    addresses.insert(addresses.end(), known.begin(), known.end());
    known.clear();
    for (auto const& address : addresses) {
        auto plain = address.without_peer();
        if (known.size() < max_remembered_addresses && std::ranges::find(known, plain) == known.end()) {
            known.push_back(std::move(plain));
        }
    }
}

std::vector<Multiaddr> HostImpl::remembered_addresses(PeerId const& peer) const
{
    auto const found = addresses_.find(peer);
    return found == addresses_.end() ? std::vector<Multiaddr>{} : found->second;
}

void HostImpl::disconnect(PeerId const& peer)
{
    for (auto const& [id, connection] : connections_) {
        if (connection->peer() == peer) {
            connection->close();
        }
    }
}

void HostImpl::reconsider()
{
    auto const current = connections_;
    for (auto const& [id, connection] : current) {
        auto const before = connection->admission();
        auto const now = gater_.admit(connection->peer(), connection->direction());
        if (now == Admission::refused || now < before) {
            connection->abort();  // its streams were agreed on when it was allowed more
            continue;
        }
        auto const becomes_member = before != Admission::member && now == Admission::member;
        auto const first = becomes_member && !has_member_connection(connection->peer());
        connection->set_admission(now);
        if (becomes_member) {
            connection->tasks().spawn("identify " + connection->peer().short_text(), ask_identity(connection));
        }
        if (first) {
            for (auto const& action : connected_) {
                action(connection->peer());
            }
        }
    }
}

std::vector<ConnectionInfo> HostImpl::connections() const
{
    auto found = std::vector<ConnectionInfo>{};
    for (auto const& [id, connection] : connections_) {
        found.push_back({.id = id,
                         .peer = connection->peer(),
                         .direction = connection->direction(),
                         .admission = connection->admission(),
                         .remote_address = connection->remote_address(),
                         .round_trip = connection->round_trip(),
                         .agent = connection->agent,
                         .streams = connection->streams()});
    }
    return found;
}

Identify HostImpl::own_identify(Connection const& connection) const
{
    auto identify = Identify{.public_key = identity_.public_key().encode(),
                             .listen_addresses = listen_addresses(),
                             .protocols = {},
                             .observed_address = connection.remote_address(),
                             .protocol_version = options_.protocol_version,
                             .agent = options_.agent};
    for (auto const& [name, handler] : handlers_) {
        identify.protocols.push_back(name);
    }
    return identify;
}

Task<> HostImpl::serve_identify(std::unique_ptr<Stream> stream)
{
    auto const& connection = static_cast<HostStream&>(*stream).connection();
    auto const message = encode(own_identify(connection));
    auto const written = co_await stream::write_message(*stream, message);
    if (written) {
        std::ignore = co_await stream->close_write();
    }
}

Task<> HostImpl::serve_identify_push(std::unique_ptr<Stream> stream)
{
    struct Heard {
        Connection& connection;
        explicit Heard(Connection& from) : connection(from) { ++connection.news_heard; }
        ~Heard() { --connection.news_heard; }
    };
    auto& connection = static_cast<HostStream&>(*stream).connection();
    auto const heard = Heard(connection);
    if (connection.news_heard > max_news_heard) {
        co_return;
    }
    auto const deadline = env_.deadline_in(identify_limit);
    auto const identify = co_await with_deadline(env_, deadline, read_identify(*stream));
    if (identify) {
        learn(connection, *identify);
        std::ignore = co_await stream->close_write();
    }
}

Task<> HostImpl::ask_identity(ConnectionHandle connection)
{
    auto const id = connection->open();
    if (!id) {
        co_return;
    }
    auto stream = HostStream(connection, *id, std::string(identify_protocol));
    auto const deadline = env_.deadline_in(identify_limit);
    auto const closed = co_await stream.close_write();
    if (!closed) {
        co_return;
    }
    auto const identify = co_await with_deadline(env_, deadline, read_identify(stream));
    if (identify) {
        learn(*connection, *identify);
    }
}

void HostImpl::push_identity()
{
    for (auto const& [id, connection] : connections_) {
        auto const& spoken = connection->protocols;
        if (connection->admission() == Admission::member &&
            std::ranges::find(spoken, identify_push_protocol) != spoken.end() &&
            !std::exchange(connection->has_news, true)) {
            connection->tasks().spawn("push identity to " + connection->peer().short_text(),
                                      push_identity_to(connection));
        }
    }
}

Task<> HostImpl::push_identity_to(ConnectionHandle connection)
{
    co_await sleep_for(env_, news_pause);
    connection->has_news = false;
    auto const id = connection->open();
    if (!id) {
        co_return;
    }
    auto stream = HostStream(connection, *id, std::string(identify_push_protocol));
    auto const message = encode(own_identify(*connection));
    auto const deadline = env_.deadline_in(identify_limit);
    auto const written = co_await with_deadline(env_, deadline, stream::write_message(stream, message));
    if (written) {
        std::ignore = co_await stream.close_write();
    }
}

void HostImpl::learn(Connection& connection, Identify const& identify)
{
    if (!identify.public_key.empty() && identify.public_key != connection.peer_key().encode()) {
        log::warning("a device names another key than its own", {{"peer", connection.peer().short_text()}});
        return;
    }
    connection.agent = identify.agent.empty() ? connection.agent : identify.agent;
    if (!identify.protocols.empty()) {
        connection.protocols = identify.protocols;
        connection.identified = true;
    }
    auto dialable = std::vector<Multiaddr>{};
    for (auto const& address : identify.listen_addresses) {
        auto const named = address.peer();
        auto const endpoint = address.tcp_endpoint();
        if (endpoint && !endpoint->address.is_loopback() && (!named || *named == connection.peer())) {
            dialable.push_back(address);
        }
    }
    remember_addresses(connection.peer(), std::move(dialable));
}

Task<> HostImpl::serve_ping(std::unique_ptr<Stream> stream)
{
    auto buffer = std::array<std::byte, ping_size>{};
    for (;;) {
        auto const read = co_await stream::read_exactly(*stream, buffer);
        if (!read) {
            if (read.error().kind == ErrorKind::closed) {
                std::ignore = co_await stream->close_write();
            }
            co_return;
        }
        auto const written = co_await stream->write(buffer);
        if (!written) {
            co_return;
        }
    }
}

Task<Result<Duration>> HostImpl::ping(PeerId peer, Deadline deadline)
{
    auto stream = co_await open_stream(peer, std::string(ping_protocol), deadline);
    if (!stream) {
        co_return std::unexpected(stream.error());
    }
    auto const sent = env_.random("ping").bytes(ping_size);
    auto exchange = [](Stream& used, ByteView question) -> Task<Result<Bytes>> {
        auto const written = co_await used.write(question);
        if (!written) {
            co_return std::unexpected(written.error());
        }
        auto answer = Bytes(ping_size);
        auto const read = co_await stream::read_exactly(used, answer);
        if (!read) {
            co_return std::unexpected(read.error());
        }
        co_return answer;
    };
    auto const start = env_.now();
    auto const answer = co_await with_deadline(env_, deadline, exchange(**stream, sent));
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const took = env_.now() - start;
    if (*answer != sent) {
        (*stream)->reset();
        co_return fail(ErrorKind::malformed, "a ping came back changed");
    }
    std::ignore = co_await (*stream)->close_write();
    co_return took;
}

Task<> HostImpl::stop()
{
    stopping_ = true;
    for (auto const& acceptor : acceptors_) {
        acceptor->close();
    }
    auto const current = connections_;
    for (auto const& [id, connection] : current) {
        connection->close();
    }
    while (!connections_.empty()) {
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
