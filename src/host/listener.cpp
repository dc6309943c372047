#include "host/listener.h"

#include "base/log.h"
#include "host/scope.h"

namespace plexus::host {

namespace {

constexpr auto accept_pause = std::chrono::milliseconds(50);

}  // namespace

/// A handshake under way, as long as it lives.
struct Listener::Pending {
    Listener& listener;
    asio::ip::address from;
    Pending(Listener& owner, asio::ip::address address) : listener(owner), from(std::move(address))
    {
        ++listener.handshake_count_;
        ++listener.handshakes_[from];
    }
    ~Pending()
    {
        --listener.handshake_count_;
        if (--listener.handshakes_[from] == 0) {
            listener.handshakes_.erase(from);
        }
    }
};

Listener::Listener(Env& env, crypto::KeyPair const& identity, Gater& gater, Limits const& limits, TaskScope& tasks,
                   TakeSecured take, std::function<bool()> has_room)
    : env_(env), identity_(identity), gater_(gater), limits_(limits), tasks_(tasks), take_(std::move(take)),
      has_room_(std::move(has_room))
{
}

Result<Multiaddr> Listener::listen(Multiaddr const& address)
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
    return Multiaddr::from_tcp(bound);
}

std::vector<Multiaddr> Listener::addresses() const
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

void Listener::close()
{
    for (auto const& acceptor : acceptors_) {
        acceptor->close();
    }
}

Task<> Listener::accept_loop(Acceptor& acceptor)
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
        if (has_room_for(from) && gater_.allow_address(from, Direction::inbound)) {
            tasks_.spawn("handshake", take_inbound(std::move(*socket)));
        }
    }
}

bool Listener::has_room_for(Endpoint const& from)
{
    auto const found = handshakes_.find(source_of(from.address));
    auto const of_address = found == handshakes_.end() ? 0 : found->second;
    return handshake_count_ < limits_.pending_handshakes && of_address < limits_.pending_handshakes_per_address &&
           has_room_();
}

Task<> Listener::take_inbound(std::unique_ptr<Socket> socket)
{
    auto const pending = Pending(*this, source_of(socket->remote_endpoint().address));
    auto const deadline = env_.deadline_in(limits_.handshake);
    auto secured = co_await secure(env_, std::move(socket), identity_, security::Role::responder, std::nullopt,
                                   deadline);
    if (!secured) {
        log::debug("handshake failed", {{"from", pending.from.to_string()}, {"reason", secured.error().text}});
        co_return;
    }
    std::ignore = take_(std::move(*secured));
}

}  // namespace plexus::host
