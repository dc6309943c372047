#include "host/dialler.h"

namespace plexus::host {

namespace {

constexpr std::size_t max_dials_at_once = 8;  // to one peer
constexpr auto dial_stagger = std::chrono::milliseconds(250);
constexpr auto dial_limit = std::chrono::seconds(15);

}  // namespace

/// One attempt to reach a peer, shared by all who wait for it.
struct Dialler::Dial {
    Dial(Executor executor, ConnectionUse dialled_for) : use(dialled_for), changed(std::move(executor)) {}
    ConnectionUse use;
    std::size_t running = 0;  ///< attempts on one address each, and the task that begins them
    bool settled = false;
    Error last_error{ErrorKind::unavailable, "there is no address to dial"};
    Signal changed;
};

/// One of those that run: counted when it is spawned, ended when its task unwinds.
struct Dialler::Attempt {
    Dialler& dialler;
    Dial& dial;
    PeerId const& peer;
    ~Attempt() { dialler.end_attempt(dial, peer); }
};

Dialler::Dialler(Env& env, crypto::KeyPair const& identity, Gater& gater, AddressBook& book, TaskScope& tasks,
                 TakeSecured take)
    : env_(env), identity_(identity), gater_(gater), book_(book), tasks_(tasks), take_(std::move(take))
{
}

Task<Error> Dialler::dial(PeerId peer, std::vector<Multiaddr> addresses, ConnectionUse use, Deadline deadline)
{
    auto const limit = deadline.earlier(env_.deadline_in(dial_limit));
    auto const running = dials_.find({peer, use});
    auto const dial = running != dials_.end() ? running->second : start(peer, addresses, use, limit);
    auto wait = [](std::shared_ptr<Dial> waited) -> Task<Result<void>> {
        while (waited->running > 0 && !waited->settled) {
            co_await waited->changed.wait();
        }
        co_return Result<void>{};
    };
    auto const waited = co_await with_deadline(env_, limit, wait(dial));
    co_return waited ? dial->last_error : waited.error();
}

std::shared_ptr<Dialler::Dial> Dialler::start(PeerId const& peer, std::vector<Multiaddr> const& addresses,
                                              ConnectionUse use, Deadline deadline)
{
    auto const dial = std::make_shared<Dial>(env_.executor(), use);
    auto endpoints = allowed(peer, addresses);
    if (!endpoints.empty()) {
        ++dial->running;
        dials_[{peer, use}] = dial;
        tasks_.spawn("dial " + peer.short_text(), attempt_all(dial, peer, std::move(endpoints), deadline));
    }
    return dial;
}

std::vector<Endpoint> Dialler::allowed(PeerId const& peer, std::vector<Multiaddr> const& addresses)
{
    auto endpoints = std::vector<Endpoint>{};
    for (auto const& address : addresses) {
        auto const endpoint = address.tcp_endpoint();
        auto const named = address.peer();
        if (endpoint && (!named || *named == peer) && endpoints.size() < max_addresses_of_peer &&
            gater_.allow_address(*endpoint, Direction::outbound)) {
            endpoints.push_back(*endpoint);
        }
    }
    return endpoints;
}

/// Begins with the next address after a while, or at once when those before have failed.
Task<> Dialler::attempt_all(std::shared_ptr<Dial> dial, PeerId peer, std::vector<Endpoint> addresses, Deadline deadline)
{
    auto const ending = Attempt{*this, *dial, peer};
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

Task<> Dialler::attempt(std::shared_ptr<Dial> dial, PeerId peer, Endpoint to, Deadline deadline)
{
    auto const ending = Attempt{*this, *dial, peer};
    if (dial->settled) {
        co_return;
    }
    auto const reached = co_await reach(peer, to, deadline, *dial);
    if (reached) {
        dial->settled = true;
        book_.remember(peer, {Multiaddr::from_tcp(to)});
    } else if (reached.error().kind != ErrorKind::cancelled) {
        dial->last_error = reached.error();
    }
}

Task<Result<void>> Dialler::reach(PeerId peer, Endpoint to, Deadline deadline, Dial& dial)
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
    secured->use = dial.use;
    co_return take_(std::move(*secured));
}

void Dialler::end_attempt(Dial& dial, PeerId const& peer)
{
    dial.settled = --dial.running == 0 || dial.settled;
    auto const found = dials_.find({peer, dial.use});
    if (dial.settled && found != dials_.end() && found->second.get() == &dial) {
        dials_.erase(found);
    }
    dial.changed.notify();
}

}  // namespace plexus::host
