#include <doctest/doctest.h>

#include "inference/memory_budget.h"

using namespace plexus;
using namespace plexus::inference;
using namespace std::chrono_literals;

namespace {

using State = MemoryClaim::State;
using Room = RoomPlan::Room;

ModelDigest digest(std::uint8_t number)
{
    return ModelDigest::from_bytes(Bytes(ModelDigest::size, std::byte{number})).value();
}

MemoryClaim claim(std::uint8_t number, std::uint64_t bytes, State state, Duration used = 0s)
{
    return {.model = digest(number), .bytes = bytes, .state = state, .last_used = Time{} + used};
}

}  // namespace

TEST_CASE("memory budget: room that is there needs nobody to go")
{
    auto const claims = std::vector{claim(1, 60, State::idle)};
    CHECK(plan_room(claims, 40, 100).room == Room::there);
    CHECK(plan_room(claims, 40, 100).to_end.empty());
    CHECK(plan_room({}, 100, 100).room == Room::there);
}

TEST_CASE("memory budget: idle engines go, the one not used for longest first, and no more than must")
{
    auto const claims = std::vector{claim(1, 30, State::idle, 3s), claim(2, 30, State::idle, 1s),
                                    claim(3, 30, State::idle, 2s)};
    auto const one = plan_room(claims, 40, 100);
    CHECK(one.room == Room::after_ending);
    CHECK(one.to_end == std::vector{digest(2)});
    CHECK(plan_room(claims, 70, 100).to_end == std::vector{digest(2), digest(3)});
}

TEST_CASE("memory budget: pinned engines stay, and what they hold cannot be had")
{
    auto const claims = std::vector{claim(1, 60, State::pinned), claim(2, 30, State::idle)};
    CHECK(obtainable_bytes(claims, 100) == 40);
    CHECK(plan_room(claims, 40, 100).to_end == std::vector{digest(2)});
    CHECK(plan_room(claims, 41, 100).room == Room::never);
}

TEST_CASE("memory budget: busy engines are waited for, and nothing idle is ended in vain meanwhile")
{
    auto const claims = std::vector{claim(1, 60, State::busy), claim(2, 30, State::idle)};
    auto const plan = plan_room(claims, 80, 100);
    CHECK(plan.room == Room::after_waiting);
    CHECK(plan.to_end.empty());
}

TEST_CASE("memory budget: an engine that is leaving is waited for before another is ended")
{
    auto const claims = std::vector{claim(1, 60, State::leaving), claim(2, 30, State::idle)};
    auto const plan = plan_room(claims, 60, 100);
    CHECK(plan.room == Room::after_ending);
    CHECK(plan.to_end.empty());
}

TEST_CASE("memory budget: slots go first, then context, down to a least that is told by nothing")
{
    auto const need = [](EngineShape shape) { return std::uint64_t{shape.context} * shape.slots; };
    auto const wanted = EngineShape{.context = 8192, .slots = 4};
    CHECK(fit_shape(wanted, 8192 * 4, need) == wanted);
    CHECK(fit_shape(wanted, 8192 * 2 + 1, need) == EngineShape{.context = 8192, .slots = 2});
    CHECK(fit_shape(wanted, 5000, need) == EngineShape{.context = 4096, .slots = 1});
    CHECK(fit_shape(wanted, 1024, need) == EngineShape{.context = 1024, .slots = 1});
    CHECK(fit_shape(wanted, 1023, need) == std::nullopt);
    CHECK(fit_shape({.context = 512, .slots = 2}, 600, need) == EngineShape{.context = 512, .slots = 1});
    CHECK(fit_shape({.context = 512, .slots = 2}, 511, need) == std::nullopt);
}

namespace {

constexpr std::uint64_t plenty = 1ULL << 50;

/// A model whose weights take 500 bytes and each token one.
std::uint64_t one_byte_a_token(EngineShape shape)
{
    return 500 + std::uint64_t{shape.context} * shape.slots;
}

EngineShape open_shape(std::uint32_t made_for, std::uint64_t memory, std::uint32_t slots = 0)
{
    return engine_shape({.context = 0, .slots = slots}, {.max_context = made_for}, memory, one_byte_a_token);
}

}  // namespace

TEST_CASE("engine shape: an open one has the whole context that the model was made for, twice at least")
{
    CHECK(open_shape(131'072, plenty) == EngineShape{.context = 131'072, .slots = 2});
    CHECK(open_shape(16'384, plenty) == EngineShape{.context = 16'384, .slots = 2});
    CHECK(open_shape(8192, plenty) == EngineShape{.context = 8192, .slots = 2});
    CHECK(open_shape(4096, plenty) == EngineShape{.context = 4096, .slots = 4});
    CHECK(open_shape(512, plenty) == EngineShape{.context = 512, .slots = 4});
    CHECK(open_shape(0, plenty) == EngineShape{.context = 4096, .slots = 4});
    CHECK(open_shape(10'000'000, plenty) == EngineShape{.context = most_context, .slots = 2});
}

TEST_CASE("engine shape: its slots take a quarter of the memory at most, but may always have 16,384 tokens")
{
    CHECK(open_shape(131'072, 4 * 2 * 131'072) == EngineShape{.context = 131'072, .slots = 2});
    CHECK(open_shape(131'072, 4 * 2 * 131'072 - 4) == EngineShape{.context = 65'536, .slots = 2});
    CHECK(open_shape(131'072, 4 * 2 * 16'384) == EngineShape{.context = 16'384, .slots = 2});
    CHECK(open_shape(131'072, 4 * 2 * 16'384 - 4) == EngineShape{.context = 16'384, .slots = 1});
    CHECK(open_shape(40'960, 4 * 2 * 16'384) == EngineShape{.context = 16'384, .slots = 2});
    CHECK(open_shape(131'072, 0) == EngineShape{.context = 16'384, .slots = 1});
    CHECK(open_shape(12'288, 0) == EngineShape{.context = 12'288, .slots = 1});
    CHECK(open_shape(8192, 0) == EngineShape{.context = 8192, .slots = 2});
}

TEST_CASE("engine shape: slots that were set stay, and an open context does not fall below 4,096 tokens for them")
{
    CHECK(open_shape(131'072, plenty, 8) == EngineShape{.context = 131'072, .slots = 8});
    CHECK(open_shape(131'072, 4 * 8 * 8192, 8) == EngineShape{.context = 8192, .slots = 8});
    CHECK(open_shape(131'072, 0, 8) == EngineShape{.context = 4096, .slots = 8});
    CHECK(open_shape(2048, 0, 1) == EngineShape{.context = 2048, .slots = 1});
}

TEST_CASE("engine shape: a context that was set is given whatever it takes, but never more than the model was made for")
{
    auto const shape = [](std::uint32_t context, std::uint32_t slots, std::uint32_t made_for) {
        return engine_shape({.context = context, .slots = slots}, {.max_context = made_for}, 0, one_byte_a_token);
    };
    CHECK(shape(32'768, 0, 131'072) == EngineShape{.context = 32'768, .slots = 4});
    CHECK(shape(256, 2, 131'072) == EngineShape{.context = 256, .slots = 2});
    CHECK(shape(32'768, 2, 8192) == EngineShape{.context = 8192, .slots = 2});
    CHECK(shape(32'768, 2, 0) == EngineShape{.context = 32'768, .slots = 2});
}

TEST_CASE("engine shape: a model of vectors computes whole inputs at once, so an open one has 4,096 tokens at most")
{
    auto const shape = [](std::uint32_t context, std::uint32_t made_for) {
        return engine_shape({.context = context}, {.gives_vectors = true, .max_context = made_for}, plenty,
                            one_byte_a_token);
    };
    CHECK(shape(0, 32'768) == EngineShape{.context = 4096, .slots = 4});
    CHECK(shape(0, 512) == EngineShape{.context = 512, .slots = 4});
    CHECK(shape(8192, 32'768) == EngineShape{.context = 8192, .slots = 4});
}

TEST_CASE("memory budget: sizes are told as people say them")
{
    CHECK(size_text(512'400'000) == "512 MB");
    CHECK(size_text(5'149'000'000) == "5.1 GB");
}
