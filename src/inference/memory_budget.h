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

/// What an engine of an open shape has for its slots, in tokens: what models of unknown training get and no question gets
/// less than; what an agent's question needs, and all slots together get in any case.
inline constexpr std::uint32_t usual_context = 4096;
inline constexpr std::uint32_t long_context = 16'384;
inline constexpr std::uint32_t most_context = 1 << 20;

inline constexpr std::uint32_t usual_slots = 4;
inline constexpr std::uint32_t slots_of_long_context = 2;

/// The part of the memory for all engines that the slots of an open shape may take: one of so many.
inline constexpr std::uint64_t share_of_slots = 4;

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

/// What an engine should have where `memory` is for all engines; a zero in `set` leaves the number open.
///
/// A context is never longer than what the model was made for. One that is open is just that; it is halved, down to
/// long_context, while the slots would take more than their share of the memory. Open slots are two, more if that makes no
/// more than long_context together, one rather than a context below it. Where the slots were set, an open context goes down
/// to usual_context instead. Vectors are made of usual_context at most. Nothing here looks at what is free:
/// that is fit_shape.
EngineShape engine_shape(EngineShape set, ModelTraits const& traits, std::uint64_t memory,
                         std::function<std::uint64_t(EngineShape)> const& need_of);

/// `wanted` if it fits, else with fewer slots, then with less context (halved, not under least_context or what was wanted);
/// nothing if even that needs more than `limit`.
std::optional<EngineShape> fit_shape(EngineShape wanted, std::uint64_t limit,
                                     std::function<std::uint64_t(EngineShape)> const& need_of);

/// "512 MB", "5.1 GB".
std::string size_text(std::uint64_t bytes);

}  // namespace plexus::inference
