#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "discovery/discovery.h"
#include "discovery/dns_message.h"

using namespace plexus;
using namespace plexus::discovery;
using namespace std::chrono_literals;

namespace {

PeerId peer(char which)
{
    return PeerId::from_key_digest(Bytes(32, static_cast<std::byte>(which)));
}

Multiaddr address(std::string const& text)
{
    return Multiaddr::from_text(text).value();
}

/// One end of a link, at a time of its own.
struct End {
    explicit End(char which) : mdns(peer(which), std::string(32, which), world.random("mdns"), now) {}

    std::vector<DnsMessage> sent_after(Duration pause)
    {
        now += pause;
        auto messages = std::vector<DnsMessage>{};
        for (auto const& bytes : mdns.due(now)) {
            messages.push_back(parse_dns_message(bytes).value());
        }
        return messages;
    }

    sim::World world{1};
    Time now{1h};
    Mdns mdns;
};

}  // namespace

TEST_CASE("mdns: asks soon, then after ever longer pauses of five minutes at most")
{
    auto end = End('a');
    auto asked = std::vector<Duration>{};
    auto const began = end.now;
    while (asked.size() < 14) {
        end.now = end.mdns.next_due();
        CHECK(end.sent_after(0s).size() == 1);
        asked.push_back(end.now - began);
    }
    CHECK(asked[0] <= 120ms);
    CHECK(asked[1] - asked[0] == 500ms);
    CHECK(asked[2] - asked[1] == 1s);
    CHECK(asked[13] - asked[12] == 5min);
}

TEST_CASE("mdns: asks at once when somebody is looked for, and often again")
{
    auto end = End('a');
    for (auto count = 0; count < 12; ++count) {
        end.now = end.mdns.next_due();
        std::ignore = end.sent_after(0s);
    }
    CHECK(end.mdns.next_due() - end.now > 4min);
    end.mdns.ask_again(end.now);
    CHECK(end.sent_after(120ms).size() == 1);
    CHECK(end.sent_after(500ms).size() == 1);
}

TEST_CASE("mdns: what one tells the other hears, and it is within one packet")
{
    auto left = End('a');
    auto right = End('b');
    auto addresses = std::vector<Multiaddr>{};
    for (auto host = 1; host <= 30; ++host) {
        addresses.push_back(address("/ip4/192.168.100.2" + std::to_string(10 + host) + "/tcp/65535"));
    }
    left.mdns.set_addresses(addresses, left.now);
    left.now += 200ms;
    auto sightings = std::vector<Sighting>{};
    for (auto const& bytes : left.mdns.due(left.now)) {
        CHECK(bytes.size() <= 1400);
        std::ranges::move(right.mdns.take(bytes, right.now).value(), std::back_inserter(sightings));
    }
    REQUIRE(sightings.size() == 1);
    CHECK(sightings[0].peer == peer('a'));
    CHECK(sightings[0].label == std::string(32, 'a'));
    CHECK(sightings[0].lifetime == mdns_lifetime);
    CHECK(sightings[0].addresses.size() == max_addresses_of_neighbour);
    CHECK(sightings[0].addresses[0] == addresses[0]);

    auto const farewell = right.mdns.take(left.mdns.farewell().value(), right.now).value();
    CHECK(farewell.at(0).lifetime == 0s);
    CHECK_FALSE(right.mdns.farewell());
}

TEST_CASE("mdns: tells where it is twice after a change, and when asked, but once a second at most")
{
    auto end = End('a');
    std::ignore = end.sent_after(10min);
    CHECK(end.sent_after(1s).size() == 1);  // a query: there is nothing to tell
    end.mdns.set_addresses({address("/ip4/10.0.0.1/tcp/1")}, end.now);
    CHECK(std::ranges::count_if(end.sent_after(130ms), &DnsMessage::is_response) == 1);
    CHECK(std::ranges::count_if(end.sent_after(800ms), &DnsMessage::is_response) == 0);
    CHECK(std::ranges::count_if(end.sent_after(400ms), &DnsMessage::is_response) == 1);
    CHECK(std::ranges::count_if(end.sent_after(5s), &DnsMessage::is_response) == 0);

    auto const query = write_dns_message({.questions = {{mdns_service, dns_type::ptr}}});
    for (auto count = 0; count < 100; ++count) {
        REQUIRE(end.mdns.take(query, end.now));
    }
    CHECK(std::ranges::count_if(end.sent_after(130ms), &DnsMessage::is_response) == 1);
    REQUIRE(end.mdns.take(query, end.now));
    CHECK(std::ranges::count_if(end.sent_after(500ms), &DnsMessage::is_response) == 0);
    CHECK(std::ranges::count_if(end.sent_after(500ms), &DnsMessage::is_response) == 1);

    end.mdns.set_addresses({address("/ip4/10.0.0.1/tcp/1")}, end.now);
    CHECK(std::ranges::count_if(end.sent_after(5s), &DnsMessage::is_response) == 0);  // the same as before
    auto const other = write_dns_message({.questions = {{"_ipp._tcp.local", dns_type::ptr}}});
    REQUIRE(end.mdns.take(other, end.now));
    CHECK(std::ranges::count_if(end.sent_after(5s), &DnsMessage::is_response) == 0);
}

TEST_CASE("mdns: addresses that lead nowhere, or to the listener itself, are not believed")
{
    auto end = End('a');
    auto const name = "x._p2p._udp.local";
    auto const id = "/p2p/" + peer('b').text();
    auto message = DnsMessage{.is_response = true};
    message.answers.push_back({.name = name,
                               .type = dns_type::txt,
                               .ttl_seconds = 3600,
                               .texts = {"dnsaddr=/ip4/127.0.0.1/tcp/1" + id, "dnsaddr=/ip6/fe80::1/tcp/1" + id,
                                         "dnsaddr=/ip4/10.0.0.2/tcp/0" + id, "dnsaddr=/ip4/10.0.0.2/tcp/1",
                                         "dnsaddr=/dns4/evil.example/tcp/1" + id, "dnsaddr=/ip4/224.0.0.1/tcp/1" + id,
                                         "dnsaddr=nonsense", "", "dnsaddr=/ip4/10.0.0.2/tcp/1" + id}});
    auto const sightings = end.mdns.take(write_dns_message(message), end.now).value();
    REQUIRE(sightings.size() == 1);
    CHECK(sightings[0].addresses == std::vector{address("/ip4/10.0.0.2/tcp/1")});
    CHECK(sightings[0].lifetime == mdns_lifetime);  // not longer than ours
    CHECK(end.mdns.take(as_view("nonsense"), end.now).error().kind == ErrorKind::malformed);
}

TEST_CASE("mdns: one message brings so many peers and no more")
{
    auto end = End('a');
    auto message = DnsMessage{.is_response = true};
    for (auto count = 0; count < 200; ++count) {
        auto digest = Bytes(32, std::byte{7});
        digest[0] = static_cast<std::byte>(count);
        auto const id = PeerId::from_key_digest(digest).text();
        message.answers.push_back({.name = "x._p2p._udp.local",
                                   .type = dns_type::txt,
                                   .ttl_seconds = 60,
                                   .texts = {"dnsaddr=/ip4/10.0.0.2/tcp/1/p2p/" + id}});
    }
    auto bytes = write_dns_message(message);
    CHECK(end.mdns.take(bytes, end.now).error().kind == ErrorKind::too_large);
    message.answers.resize(70);
    CHECK(end.mdns.take(write_dns_message(message), end.now).value().size() == max_sightings);
}

namespace {

/// A device that looks for others.
struct Finder {
    Finder(sim::World& world, char which)
        : env(world.add_device(std::string("device ") + which)),
          discovery(env, peer(which),
                    {.addresses = [this] { return std::vector{Multiaddr::from_tcp({env.address(), 7598})}; },
                     .found = [this](Neighbour const& neighbour) { found[neighbour.peer] = env.now(); }})
    {
        discovery.start();
    }

    sim::SimEnv& env;
    std::map<PeerId, Time> found;
    Discovery discovery;
};

}  // namespace

TEST_CASE("discovery: twenty devices that start together find one another within three seconds, in spite of loss")
{
    auto world = sim::World(7);
    world.set_default_link({.loss = 0.05});
    auto finders = std::vector<std::unique_ptr<Finder>>{};
    for (auto which = 'a'; which < 'a' + 20; ++which) {
        finders.push_back(std::make_unique<Finder>(world, which));
    }
    world.run_for(3s);
    for (auto const& finder : finders) {
        CHECK(finder->found.size() == 19);
        CHECK(finder->discovery.neighbours().size() == 19);
        CHECK_FALSE(finder->discovery.is_copied());
    }
    for (auto& finder : finders) {
        world.run(finder->discovery.stop());
    }
}

TEST_CASE("discovery: one that leaves is forgotten at once, one that is lost after a while")
{
    auto world = sim::World(8);
    auto left = Finder(world, 'a');
    auto right = std::make_unique<Finder>(world, 'b');
    auto lost = Finder(world, 'c');
    world.run_for(1s);
    CHECK(left.discovery.neighbours().size() == 2);
    world.run(right->discovery.stop());
    world.run_for(1s);
    CHECK(left.discovery.neighbours().size() == 1);
    lost.env.crash();
    world.run_for(11min);
    CHECK(left.discovery.neighbours().empty());
    world.run(left.discovery.stop());
    world.run(lost.discovery.stop());
}

TEST_CASE("discovery: a second device with the same key is told")
{
    auto world = sim::World(9);
    auto left = Finder(world, 'a');
    auto& env = world.add_device("copy");
    auto copy = Discovery(env, peer('a'),
                          {.addresses = [&] { return std::vector{Multiaddr::from_tcp({env.address(), 1})}; }});
    copy.start();
    world.run_for(2s);
    CHECK(left.discovery.is_copied());
    CHECK(copy.is_copied());
    CHECK(left.discovery.neighbours().empty());
    world.run(copy.stop());
    world.run_for(10min);
    CHECK_FALSE(left.discovery.is_copied());
    world.run(left.discovery.stop());
}
