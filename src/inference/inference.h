#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "crypto/digest.h"
#include "inference/task_kind.h"
#include "sandbox/report.h"

namespace plexus::inference {

using ModelDigest = crypto::Digest32;

/// What one answer took, as the engine measured it.
struct Timings {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    double prefill_per_second = 0;
    double decode_per_second = 0;
    std::uint64_t drafted_tokens = 0;   ///< guessed, by a draft model or from the text before
    std::uint64_t accepted_tokens = 0;  ///< of those the ones that the model would have said itself
};

/// A part of an answer.
struct Part {
    std::string text{};  ///< one JSON object, or of kinds that are not streamed the next bytes of one JSON document
    /// Of the model, that the part was made of, at most max_part_tokens. A chat goes on behind them where the body of another
    /// one has them, after those before, as "plexus_said". None where the engine does not tell.
    std::vector<std::uint32_t> tokens{};

    bool operator==(Part const&) const = default;
};

inline constexpr std::size_t max_part_tokens = 1024;

/// A running answer. Destroying it cancels the work within a second.
class Generation {
public:
    virtual ~Generation() = default;

    /// The next part, or nothing after the last. A document has at most max_document_bytes.
    /// Errors: `malformed` (the request), `too_large` (the context, the document), `closed` (the engine died), `unavailable`.
    virtual Task<Result<std::optional<Part>>> next() = 0;

    /// Filled when the last part of a streamed answer is out.
    virtual Timings const& timings() const = 0;
};

/// How many answers an engine gives at the same time, and how many tokens each may have.
struct EngineShape {
    std::uint32_t context = 0;
    std::uint32_t slots = 0;

    bool operator==(EngineShape const&) const = default;
};

/// What of a model is computed beside the processor.
struct GpuUse {
    std::string device{};  ///< its name; empty: none
    std::uint32_t layers = 0;

    bool operator==(GpuUse const&) const = default;
};

/// What an engine holds, in bytes, as it says itself; zero where it does not.
struct EngineMemory {
    std::uint64_t weights = 0;  ///< llama.cpp's own sums, here and below
    std::uint64_t cache = 0;
    std::uint64_t compute = 0;
    std::uint64_t on_gpu = 0;  ///< of these three
    std::uint64_t resident = 0;  ///< the most that the process had, but pages of the file that nothing reads any more
};

/// A model in memory.
struct LoadedModel {
    ModelDigest digest{};
    std::uint32_t slots = 0;
    std::uint32_t busy = 0;
    std::uint32_t context = 0;
    bool is_pinned = false;
    bool is_reduced = false;  ///< less context or fewer slots than the settings lead to, since memory is short
    std::uint64_t predicted_bytes = 0;  ///< before it was loaded; 0: not known
    EngineMemory used{};
    std::string backend{};  ///< of llama.cpp: "CPU", "Vulkan"
    GpuUse gpu{};  ///< as the engine says
    std::optional<Time> leaves{};  ///< when it leaves memory if nobody uses it
    std::optional<ModelDigest> draft{};  ///< the model that guesses for it
    std::uint64_t drafted_tokens = 0;  ///< of all its answers, as in Timings
    std::uint64_t accepted_tokens = 0;
};

/// What an engine must know of a model before it loads it.
struct ModelTraits {
    bool gives_vectors = false;  ///< embeds or reranks: whole inputs in one step, no text
    std::uint32_t max_context = 0;  ///< tokens that the model was made for; 0: not known
};

/// Where model bytes come from: the store, which gives them open and verified.
class ModelSource {
public:
    virtual ~ModelSource() = default;
    /// Errors: `not_found`, `malformed` when the bytes no longer match the digest, `io`.
    virtual Task<Result<std::shared_ptr<File const>>> open(ModelDigest model) = 0;
    virtual ModelTraits traits(ModelDigest const&) const { return {}; }
    /// The model that guesses tokens for it, of the same vocabulary; the engine gets both.
    virtual std::optional<ModelDigest> draft_of(ModelDigest const&) const { return {}; }
    /// Where an engine of this shape computes, now.
    virtual GpuUse gpu_use(ModelDigest const& model, EngineShape shape) const
    {
        static_cast<void>(model);
        static_cast<void>(shape);
        return {};
    }
    /// An engine did not start on the GPU. Whether the model is to be tried without it, which gpu_use then leaves out.
    virtual bool doubt_gpu() { return false; }
    /// What came of that: why the GPU is not to be used, or nothing if it is not to blame.
    virtual void judge_gpu(std::optional<Error> const& reason) { static_cast<void>(reason); }
    /// Bytes of main memory that an engine of this shape needs, its draft model included; 0: not known, the model is loaded
    /// without a look at the memory.
    virtual std::uint64_t memory_need(ModelDigest const& model, EngineShape shape) const
    {
        static_cast<void>(model);
        static_cast<void>(shape);
        return 0;
    }
};

/// How engines are run.
struct Options {
    std::filesystem::path program;             ///< plexus-engine
    std::vector<std::string> forbidden_paths;  ///< what the engine's probe must fail to open
    std::vector<std::string> arguments;        ///< further ones, for tests
    std::uint32_t context = 0;  ///< tokens a slot; 0: by model and memory, as engine_shape says
    std::uint32_t slots = 0;  ///< 0: likewise
    std::uint32_t threads = 2;
    bool keeps_prompts = true;  ///< what is read of a prompt is kept for one that begins alike
    bool speculates = false;  ///< guess several tokens from the text before, and check them in one step
    std::uint64_t memory_limit_bytes = 0;  ///< of one engine beside the mapped model; 0: none
    /// Bytes that all engines together may need now, those that run included. Nothing set: no limit.
    std::function<std::uint64_t()> memory_for_engines{};
    Duration room_limit = std::chrono::seconds(60);  ///< how long a model waits for memory that busy ones hold
    Duration idle_limit = std::chrono::minutes(30);  ///< an unused model leaves memory after this
    Duration load_limit = std::chrono::minutes(5);
    std::function<void(sandbox::Report const&)> on_walls{};  ///< called with what each engine proved, once it is ready
};

/// What computes tasks on this device: engines of ours (Inference), or those that the owner runs (ExternalEngines).
class TaskEngine {
public:
    virtual ~TaskEngine() = default;

    /// Starts an answer to the body of a task; makes the model ready first if it is not.
    /// `loading` is called once if the caller has to wait for that.
    virtual Task<Result<std::unique_ptr<Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                            std::function<void()> loading) = 0;
    virtual std::vector<LoadedModel> loaded() const = 0;
};

/// Models that may wait for memory at the same time.
inline constexpr std::size_t max_waiting_for_memory = 8;

/// Runs models on this device, one sandboxed engine process each, started when needed.
///
/// Where memory is limited, a model that does not fit beside the others gets fewer slots, then less context; then idle
/// engines are ended for it, the one not used for longest first; then it waits for busy ones. Pinned models stay.
///
/// Errors of `start` and `load`: those of the source; `unavailable` (does not start, too many requests, not enough memory:
/// with what it needs and what can be had), `timed_out`.
class Inference : public TaskEngine {
public:
    /// Brings the model into memory.
    virtual Task<Result<LoadedModel>> load(ModelDigest model) = 0;
    /// How long the model stays in memory after its next use and those after that: nothing means Options::idle_limit, zero
    /// that it leaves at once, negative for ever.
    virtual void keep(ModelDigest const& model, std::optional<Duration> after_use) = 0;
    /// A pinned model is ended neither for another one nor when idle. Does not load it.
    virtual void pin(ModelDigest const& model, bool pinned) = 0;
    virtual std::vector<ModelDigest> pinned() const = 0;
    /// Ends the model's engine; running answers fail with `closed`. False if it was not loaded. Forgets why it could not be
    /// started before: the next try is not held back.
    virtual bool unload(ModelDigest const& model) = 0;
    /// Called on the loop when a model enters or leaves memory, or becomes busy or free.
    virtual void on_change(std::function<void()> action) = 0;
    /// Process id of the model's engine, for tests and diagnosis; 0 if none.
    virtual int process_of(ModelDigest const& model) const = 0;
    /// Ends all engines. Must be awaited before destruction.
    virtual Task<> stop() = 0;
};

/// `env` and `source` must outlive it.
std::unique_ptr<Inference> make_inference(Env& env, ModelSource& source, Options options);

}  // namespace plexus::inference
