#include "inference/memory_budget.h"

namespace plexus::inference {

namespace {

using State = MemoryClaim::State;

template <typename Predicate>
std::uint64_t sum_of(std::span<MemoryClaim const> claims, Predicate counts)
{
    auto sum = std::uint64_t{0};
    for (auto const& claim : claims) {
        sum += counts(claim.state) ? claim.bytes : 0;
    }
    return sum;
}

std::uint64_t less(std::uint64_t from, std::uint64_t taken)
{
    return from - std::min(from, taken);
}

/// The context of a model that has all the memory in the world.
std::uint32_t longest_context(std::uint32_t set, ModelTraits const& traits)
{
    auto const made_for = traits.max_context == 0 ? most_context : std::min(traits.max_context, most_context);
    auto const is_short = traits.gives_vectors || traits.max_context == 0;
    return std::min(made_for, set > 0 ? set : is_short ? usual_context : most_context);
}

}  // namespace

std::uint64_t obtainable_bytes(std::span<MemoryClaim const> claims, std::uint64_t limit)
{
    return less(limit, sum_of(claims, [](State state) { return state == State::pinned; }));
}

RoomPlan plan_room(std::span<MemoryClaim const> claims, std::uint64_t need, std::uint64_t limit)
{
    if (need > obtainable_bytes(claims, limit)) {
        return {.room = RoomPlan::Room::never};
    }
    auto const all = sum_of(claims, [](State) { return true; });
    auto missing = less(all + need, limit);
    if (missing == 0) {
        return {.room = RoomPlan::Room::there};
    }
    missing = less(missing, sum_of(claims, [](State state) { return state == State::leaving; }));
    auto idle = std::vector<MemoryClaim>{};
    std::ranges::copy_if(claims, std::back_inserter(idle),
                         [](auto const& claim) { return claim.state == State::idle; });
    std::ranges::sort(idle, {}, &MemoryClaim::last_used);
    auto plan = RoomPlan{.room = RoomPlan::Room::after_ending};
    for (auto const& claim : idle) {
        if (missing == 0) {
            break;
        }
        plan.to_end.push_back(claim.model);
        missing = less(missing, claim.bytes);
    }
    return missing == 0 ? plan : RoomPlan{.room = RoomPlan::Room::after_waiting};
}

EngineShape engine_shape(EngineShape set, ModelTraits const& traits, std::uint64_t memory,
                         std::function<std::uint64_t(EngineShape)> const& need_of)
{
    auto shape = EngineShape{.context = longest_context(set.context, traits), .slots = set.slots};
    if (set.slots == 0) {
        auto const together = long_context / std::max(shape.context, 1U);
        shape.slots = set.context > 0 ? usual_slots : std::clamp(together, slots_of_long_context, usual_slots);
    }
    if (set.context > 0) {
        return shape;
    }
    auto const least = set.slots > 0 ? usual_context : long_context;
    auto const without_slots = need_of({});
    while (less(need_of(shape), without_slots) > memory / share_of_slots) {
        if (shape.context > least) {
            shape.context = std::max(shape.context / 2, least);
        } else if (set.slots == 0 && shape.slots > 1 && shape.slots * shape.context > long_context) {
            --shape.slots;
        } else {
            break;
        }
    }
    return shape;
}

std::optional<EngineShape> fit_shape(EngineShape wanted, std::uint64_t limit,
                                     std::function<std::uint64_t(EngineShape)> const& need_of)
{
    auto const least = std::min(wanted.context, least_context);
    auto shape = wanted;
    while (need_of(shape) > limit) {
        if (shape.slots > 1) {
            --shape.slots;
        } else if (shape.context > least) {
            shape.context = std::max(shape.context / 2, least);
        } else {
            return std::nullopt;
        }
    }
    return shape;
}

std::string size_text(std::uint64_t bytes)
{
    auto const megabytes = static_cast<double>(bytes) / 1e6;
    return megabytes < 1000 ? fmt::format("{:.0f} MB", megabytes) : fmt::format("{:.1f} GB", megabytes / 1000);
}

}  // namespace plexus::inference
