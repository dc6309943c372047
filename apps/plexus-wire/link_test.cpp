#include <doctest/doctest.h>

#include "plexus-wire/link.h"

using namespace plexus;
using namespace plexus::wire;
using namespace std::chrono_literals;

namespace {

constexpr auto start = Time(1s);

Bytes packet(std::size_t size, int mark = 0)
{
    return Bytes(size, static_cast<std::byte>(mark));
}

}  // namespace

TEST_CASE("link: a packet comes out after the delay, not before, and in order")
{
    auto link = Link({.delay = 10ms});

    link.push(packet(100, 1), start);
    link.push(packet(100, 2), start + 1ms);

    CHECK(link.next() == start + 10ms);
    CHECK_FALSE(link.pop(start + 9ms));
    CHECK(link.pop(start + 10ms) == packet(100, 1));
    CHECK_FALSE(link.pop(start + 10ms));
    CHECK(link.pop(start + 11ms) == packet(100, 2));
    CHECK_FALSE(link.next());
}

TEST_CASE("link: the rate spaces packets by their size")
{
    auto link = Link({.delay = 1ms, .bits_per_second = 8'000'000});  // a byte a microsecond

    link.push(packet(1000), start);
    link.push(packet(500), start);

    CHECK(link.next() == start + 2ms);
    CHECK(link.pop(start + 2ms));
    CHECK(link.next() == start + 2500us);
}

TEST_CASE("link: what does not fit the queue is dropped and counted")
{
    auto link = Link({.delay = {}, .bits_per_second = 8'000'000, .queue_bytes = 1500});

    link.push(packet(1000), start);
    link.push(packet(1000), start);
    link.push(packet(1000), start + 1ms);

    CHECK(link.dropped() == 1);
    CHECK(link.pop(start + 2ms));
    CHECK(link.pop(start + 2ms));
}

TEST_CASE("link: losses have the asked rate and are the same for the same seed")
{
    auto const survivors = [](std::uint64_t seed) {
        auto link = Link({.delay = {}, .loss = 0.1, .seed = seed});
        auto alive = std::vector<bool>{};
        for (auto count = 0; count < 10'000; ++count) {
            link.push(packet(10), start);
            alive.push_back(link.pop(start).has_value());
        }
        return alive;
    };

    auto const first = survivors(1);

    CHECK(std::ranges::count(first, false) == doctest::Approx(1000).epsilon(0.1));
    CHECK(first == survivors(1));
    CHECK(first != survivors(2));
}

TEST_CASE("link: a cut drops what is under way and what comes, until it is mended")
{
    auto link = Link({.delay = 10ms});
    link.push(packet(10), start);

    link.cut(true);
    link.push(packet(10), start + 5ms);
    link.cut(false);
    link.push(packet(10, 3), start + 6ms);

    CHECK(link.dropped() == 2);
    CHECK(link.pop(start + 16ms) == packet(10, 3));
}
