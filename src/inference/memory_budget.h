#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inference/inference.h"

namespace plexus::inference {

/// What a slot keeps at least when memory is short; less would not hold a conversation.
inline constexpr std::uint32_t least_context = 1024;

/// The memory that an engine has been promised.
struct MemoryClaim {
    enum class State {
        idle,     ///< may be ended
        busy,     ///< loads or answers; may be waited for
        leaving,  ///< ends by itself
        pinned,   ///< stays
    };
    ModelDigest model{};
    std::uint64_t bytes = 0;
    State state = State::idle;
    Time last_used{};
};

/// The way to room for one more engine.
struct RoomPlan {
    enum class Room { there, after_ending, after_waiting, never };
    Room room = Room::never;
    std::vector<ModelDigest> to_end{};  ///< idle engines, least recently used first
};

/// What a new engine could get if all that may go had gone.
std::uint64_t obtainable_bytes(std::span<MemoryClaim const> claims, std::uint64_t limit);

/// How `need` bytes come free of `limit`. Nothing is ended while only a busy engine could make the room.
RoomPlan plan_room(std::span<MemoryClaim const> claims, std::uint64_t need, std::uint64_t limit);

/// `wanted` if it fits, else with fewer slots, then with less context (halved, not under least_context or what was wanted);
/// nothing if even that needs more than `limit`.
std::optional<EngineShape> fit_shape(EngineShape wanted, std::uint64_t limit,
                                     std::function<std::uint64_t(EngineShape)> const& need_of);

/// "512 MB", "5.1 GB".
std::string size_text(std::uint64_t bytes);

}  // namespace plexus::inference
