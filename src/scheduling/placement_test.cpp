#include <doctest/doctest.h>

#include "scheduling/placement.h"

using namespace plexus;
using namespace plexus::scheduling;

namespace {

/// The candidates' numbers in the order of the choice.
std::vector<std::size_t> order(std::vector<Candidate> candidates)
{
    auto chosen = std::vector<std::size_t>{};
    for (auto const& choice : make_simple_placement()->rank(candidates)) {
        CHECK_FALSE(choice.reason.empty());
        chosen.push_back(choice.candidate);
    }
    return chosen;
}

Candidate candidate(double decode)
{
    auto made = Candidate{};
    made.speed.decode = {decode, 1};
    return made;
}

}  // namespace

TEST_CASE("placement: this device first, however slow, then the fastest")
{
    auto self = candidate(1);
    self.is_self = true;
    CHECK(order({candidate(50), candidate(100), self, candidate(0)}) == std::vector<std::size_t>{2, 1, 0, 3});
    CHECK(order({}).empty());
}

TEST_CASE("placement: of equal ones first the one with the model in memory, then the shorter queue")
{
    auto busy = candidate(100);
    busy.running = 3;
    auto idle = candidate(101);
    auto loaded = candidate(99.5);
    loaded.is_loaded = true;
    loaded.queued = 9;
    CHECK(order({busy, idle, loaded}) == std::vector<std::size_t>{2, 1, 0});
    busy.running = UINT32_MAX;
    busy.queued = UINT32_MAX;
    CHECK(order({busy, idle}) == std::vector<std::size_t>{1, 0});
}

TEST_CASE("placement: the reason says what was measured and what is an estimate")
{
    auto estimated = candidate(42);
    estimated.speed.decode.observations = 0;
    CHECK(make_simple_placement()->rank({candidate(42)}).at(0).reason == "measured 42 tokens a second");
    CHECK(make_simple_placement()->rank({estimated}).at(0).reason == "estimated 42 tokens a second");
}
