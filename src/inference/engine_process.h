#pragma once

#include <map>

#include "inference/inference.h"
#include "stream/engine_protocol.h"

namespace plexus::inference {

/// Limits of what one engine may have waiting for us.
inline constexpr std::size_t max_requests_per_engine = 64;
inline constexpr std::size_t max_unread_bytes = 8 * 1024 * 1024;  ///< of one streamed answer; more ends it
inline constexpr std::size_t event_overhead = 64;                 ///< what a part costs beside its bytes
inline constexpr std::size_t max_outgoing_bytes = 16 * 1024 * 1024;  ///< that the engine has not taken yet
inline constexpr auto ping_interval = std::chrono::milliseconds(500);
inline constexpr auto silence_limit = std::chrono::seconds(5);

/// What an engine was started for.
struct EngineStart {
    ModelDigest model{};
    EngineShape shape{};
    bool is_reduced = false;
    std::uint64_t predicted_bytes = 0;
    std::optional<ModelDigest> draft{};
    GpuUse gpu{};  ///< asked for
};

/// One running plexus-engine: its requests, its health, its end. Shared with the answers it gives.
class EngineProcess final : public std::enable_shared_from_this<EngineProcess> {
public:
    EngineProcess(Env& env, std::unique_ptr<Process> process, EngineStart start, std::function<void()> changed);
    ~EngineProcess();

    /// Serves until the process has ended. A task of the pool.
    Task<> run();

    /// Sends LOAD and waits for READY. Errors: `unavailable` (refused, with its reason), `closed`, `timed_out`.
    Task<Result<void>> load(std::string parameters, Deadline deadline);

    /// Errors: `unavailable` over max_requests_per_engine or max_outgoing_bytes, `closed`, `too_large`.
    Result<std::unique_ptr<Generation>> request(TaskKind kind, std::string_view body);

    void end()
    {
        leaving_ = true;
        process_->kill();
    }
    bool ended() const { return ended_; }
    bool is_leaving() const { return leaving_ || ended_; }
    bool is_ready() const { return loaded_ && *loaded_; }
    std::uint32_t busy() const { return static_cast<std::uint32_t>(answers_.size()); }
    std::uint32_t slots() const { return slots_; }
    std::uint32_t context() const { return context_; }
    int id() const { return process_->id(); }
    EngineStart const& start() const { return start_; }
    EngineMemory const& memory() const { return memory_; }
    std::string const& backend() const { return backend_; }
    /// What it uses, by its own word; there once it is loaded.
    GpuUse const& gpu() const { return gpu_; }
    Time last_used() const { return last_used_; }
    /// Of all answers that have ended, as in Timings.
    std::uint64_t drafted_tokens() const { return drafted_tokens_; }
    std::uint64_t accepted_tokens() const { return accepted_tokens_; }
    /// What it proved of its walls; there once it is loaded.
    std::optional<sandbox::Report> const& walls() const { return walls_; }
    void touch() { last_used_ = env_.now(); }

private:
    class Answer;

    Task<> read_loop();
    Task<> write_loop();
    Task<> watch_loop();
    void take(stream::EngineFrame frame);
    void take_walls(ByteView payload);
    void take_ready(ByteView payload);
    void take_pong(ByteView payload);
    void send(stream::EngineFrameType type, std::uint32_t request, ByteView payload);
    void forget(std::uint32_t request);
    void finish();

    Env& env_;
    std::unique_ptr<Process> process_;
    EngineStart start_;
    std::function<void()> changed_;
    std::map<std::uint32_t, Answer*> answers_;
    std::deque<Bytes> outgoing_;
    std::size_t outgoing_bytes_ = 0;
    std::uint32_t last_request_ = 0;
    std::uint32_t slots_ = 0;
    std::uint32_t context_ = 0;
    std::optional<sandbox::Report> walls_;
    EngineMemory memory_;
    std::uint64_t drafted_tokens_ = 0;
    std::uint64_t accepted_tokens_ = 0;
    std::string backend_;
    GpuUse gpu_;
    std::uint64_t unread_file_bytes_ = 0;  // mapped, but repacked elsewhere
    std::optional<Result<void>> loaded_;
    Time last_heard_{};
    Time last_used_{};
    bool leaving_ = false;
    bool ended_ = false;
    Signal wake_;
    Signal state_changed_;
    TaskScope tasks_;
};

}  // namespace plexus::inference
