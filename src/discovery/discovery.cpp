#include "discovery/discovery.h"

#include "base/log.h"

namespace plexus::discovery {

namespace {

constexpr auto look_pause = std::chrono::minutes(1);  // where the system does not tell of changes
constexpr auto settling = std::chrono::milliseconds(250);  // changes come in bursts

asio::ip::address group_of(bool is_v6)
{
    return asio::ip::make_address(is_v6 ? "ff02::fb" : "224.0.0.251");
}

/// Those of `addresses` that the interface has.
std::vector<Multiaddr> addresses_on(std::string const& interface, std::vector<InterfaceAddress> const& interfaces,
                                    std::vector<Multiaddr> const& addresses)
{
    auto on_it = std::vector<Multiaddr>{};
    for (auto const& address : addresses) {
        auto const endpoint = address.tcp_endpoint();
        auto const is_on_it = [&](InterfaceAddress const& at) {
            return at.name == interface && endpoint && at.address == endpoint->address;
        };
        if (std::ranges::any_of(interfaces, is_on_it)) {
            on_it.push_back(address);
        }
    }
    return on_it;
}

/// Puts `latest` before those that are known; true if one of them was not.
bool put_first(std::vector<Multiaddr>& known, std::vector<Multiaddr> latest)
{
    auto const is_known = [&](Multiaddr const& address) { return std::ranges::find(known, address) != known.end(); };
    auto const has_new = !std::ranges::all_of(latest, is_known);
    for (auto& address : known) {
        if (latest.size() < max_addresses_of_neighbour && std::ranges::find(latest, address) == latest.end()) {
            latest.push_back(std::move(address));
        }
    }
    known = std::move(latest);
    return has_new;
}

}  // namespace

/// One interface with one IP version.
struct Discovery::Link {
    Link(Executor executor, InterfaceAddress from, std::unique_ptr<GroupSocket> group, Mdns protocol)
        : at(std::move(from)), socket(std::move(group)), mdns(std::move(protocol)), changed(std::move(executor))
    {
    }

    InterfaceAddress at;
    std::unique_ptr<GroupSocket> socket;
    Mdns mdns;
    bool is_left = false;
    Time second_began{};
    unsigned datagrams = 0;  // in that second
    Signal changed;
};

Discovery::Discovery(Env& env, PeerId self, Options options)
    : env_(env), self_(std::move(self)), options_(std::move(options)), label_(Mdns::new_label(env.random("mdns"))),
      refresh_(env.executor()), tasks_(env.executor())
{
}

Discovery::~Discovery() = default;

void Discovery::start()
{
    tasks_.spawn("look at interfaces", look_at_interfaces());
    tasks_.spawn("watch interfaces", watch());
}

Task<> Discovery::stop()
{
    for (auto const& link : links_) {
        if (auto const farewell = link->mdns.farewell()) {
            std::ignore = link->socket->send(*farewell);
        }
    }
    co_await tasks_.join();
    links_.clear();
}

std::vector<Neighbour> Discovery::neighbours() const
{
    auto found = std::vector<Neighbour>{};
    for (auto const& [peer, neighbour] : neighbours_) {
        if (neighbour.expires > env_.now()) {
            found.push_back(neighbour);
        }
    }
    return found;
}

void Discovery::ask_again()
{
    for (auto const& link : links_) {
        link->mdns.ask_again(env_.now());
        link->changed.notify();
    }
}

bool Discovery::is_copied() const
{
    return copied_at_ && env_.now() - *copied_at_ < mdns_lifetime;
}

Task<> Discovery::watch()
{
    auto const watch = env_.network().watch_interfaces();
    if (!watch) {
        log::debug("changes of the network are looked for now and then", {{"why", watch.error().text}});
        co_return;
    }
    while (co_await (*watch)->changed()) {
        co_await sleep_for(env_, settling);
        refresh();
    }
}

Task<> Discovery::look_at_interfaces()
{
    for (;;) {
        std::erase_if(neighbours_, [&](auto const& entry) { return entry.second.expires <= env_.now(); });
        update_links();
        auto const alarm = Alarm(env_, env_.now() + look_pause, [this] { refresh(); });
        co_await refresh_.wait();
    }
}

void Discovery::update_links()
{
    auto interfaces = env_.network().interface_addresses();
    std::erase_if(interfaces, [](InterfaceAddress const& at) { return at.address.is_loopback(); });
    for (auto const& link : std::vector(links_)) {
        if (std::ranges::find(interfaces, link->at) == interfaces.end()) {
            leave(link);
        }
    }
    for (auto const& at : interfaces) {
        auto const is_joined = std::ranges::any_of(links_, [&](std::shared_ptr<Link> const& link) {
            return link->at.name == at.name && link->at.address.is_v6() == at.address.is_v6();
        });
        if (!is_joined && links_.size() < max_links) {
            join(at);
        }
    }
    auto const addresses = options_.addresses();
    for (auto const& link : links_) {
        link->mdns.set_addresses(addresses_on(link->at.name, interfaces, addresses), env_.now());
        link->changed.notify();
    }
    auto const before = std::exchange(interfaces_, std::move(interfaces));
    if (before && *before != *interfaces_ && options_.network_changed) {
        options_.network_changed();
    }
}

void Discovery::join(InterfaceAddress const& at)
{
    auto socket = env_.network().join_group({group_of(at.address.is_v6()), mdns_port}, at);
    if (!socket) {
        log::debug("a link is without multicast", {{"why", socket.error().text}});
        return;
    }
    auto link = std::make_shared<Link>(env_.executor(), at, std::move(*socket),
                                       Mdns(self_, label_, env_.random("mdns"), env_.now()));
    links_.push_back(link);
    tasks_.spawn("listen to " + at.name, listen(link));
    tasks_.spawn("speak on " + at.name, speak(link));
}

void Discovery::leave(std::shared_ptr<Link> const& link)
{
    link->is_left = true;
    link->socket->close();
    link->changed.notify();
    std::erase(links_, link);
}

Task<> Discovery::listen(std::shared_ptr<Link> link)
{
    while (auto const datagram = co_await link->socket->receive()) {
        take(*link, *datagram);
    }
    leave(link);
}

Task<> Discovery::speak(std::shared_ptr<Link> link)
{
    while (!link->is_left) {
        for (auto const& message : link->mdns.due(env_.now())) {
            std::ignore = link->socket->send(message);
        }
        auto const alarm = Alarm(env_, link->mdns.next_due(), [link] { link->changed.notify(); });
        co_await link->changed.wait();
    }
}

void Discovery::take(Link& link, ByteView datagram)
{
    auto const now = env_.now();
    if (now - link.second_began >= std::chrono::seconds(1)) {
        link.second_began = now;
        link.datagrams = 0;
    }
    if (++link.datagrams > max_datagrams_a_second) {
        return;
    }
    auto sightings = link.mdns.take(datagram, now);
    if (!sightings) {
        return;
    }
    for (auto& sighting : *sightings) {
        take(std::move(sighting));
    }
    link.changed.notify();
}

void Discovery::take(Sighting sighting)
{
    if (sighting.lifetime == Duration::zero()) {
        neighbours_.erase(sighting.peer);
        return;
    }
    if (sighting.peer == self_) {
        if (!is_copied()) {
            log::warning("another device on the network says that it is this one: was its key copied?");
        }
        copied_at_ = env_.now();
        return;
    }
    auto const known = neighbours_.find(sighting.peer);
    if (known == neighbours_.end() && neighbours_.size() >= max_neighbours) {
        return;
    }
    auto& neighbour = neighbours_[sighting.peer];
    neighbour.peer = sighting.peer;
    neighbour.expires = env_.now() + sighting.lifetime;
    if (put_first(neighbour.addresses, std::move(sighting.addresses)) && options_.found) {
        options_.found(neighbour);
    }
}

}  // namespace plexus::discovery
