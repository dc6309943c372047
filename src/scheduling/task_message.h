#pragma once

#include <variant>

#include "base/bytes.h"
#include "scheduling/scheduling.h"

namespace plexus::scheduling {

/// Messages of /plexus/task/1. Spec: docs/protocols/task.md.

inline constexpr std::size_t max_start_bytes = 8 * 1024 * 1024;
inline constexpr std::size_t max_chunk_bytes = 1024 * 1024;
inline constexpr std::size_t max_reply_bytes = max_chunk_bytes + 8 * 1024;
inline constexpr std::size_t max_task_id_bytes = 128;
inline constexpr std::size_t max_error_bytes = 512;

/// What the requester asks for; its only message.
struct Start {
    std::string task_id{};
    ModelDigest model;
    TaskKind kind = TaskKind::chat;
    std::string body{};
    Duration limit{};  ///< until the requester has no more use for the answer; zero: none

    bool operator==(Start const&) const = default;
};

/// The executor has taken the task.
struct Accepted {
    bool operator==(Accepted const&) const = default;
};

/// Nothing yet, but the executor is at work.
struct Progress {
    enum class Stage : std::uint32_t { computing = 0, queued = 1, loading = 2 };
    Stage stage = Stage::computing;
    std::uint32_t ahead = 0;  ///< tasks in front of this one while it is queued

    bool operator==(Progress const&) const = default;
};

struct Chunk {
    std::uint64_t sequence = 0;  ///< counts from 0
    std::string json{};  ///< a whole object, or the next bytes of one document
    std::vector<std::uint32_t> tokens{};  ///< as those of inference::Part

    bool operator==(Chunk const&) const = default;
};

struct Done {
    Timings timings;
};

struct Failed {
    Error error;
};

using Reply = std::variant<Accepted, Progress, Chunk, Done, Failed>;

Bytes encode(Start const& start);
Bytes encode(Reply const& reply);

/// Errors: `malformed`, `too_large`, `unavailable` for a kind of task that is not known here.
Result<Start> decode_start(ByteView message);

/// Reads an executor's replies and holds it to their order: Accepted, then Progress and Chunks without a gap, then Done
/// or Failed, which may also come first; nothing after. After an error the stream must be reset.
class ReplyReader {
public:
    /// Errors: `malformed`, `too_large`.
    Result<Reply> take(ByteView message);

private:
    Result<void> check_order(Reply const& reply);

    bool accepted_ = false;
    bool over_ = false;
    std::uint64_t next_sequence_ = 0;
};

}  // namespace plexus::scheduling
