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
};

/// A running answer. Destroying it cancels the work within a second.
class Generation {
public:
    virtual ~Generation() = default;

    /// The next part, or nothing after the last: one JSON object, or of kinds that are not streamed the next bytes of
    /// one JSON document of at most max_document_bytes.
    /// Errors: `malformed` (the request), `too_large` (the context, the document), `closed` (the engine died), `unavailable`.
    virtual Task<Result<std::optional<std::string>>> next() = 0;

    /// Filled when the last part of a streamed answer is out.
    virtual Timings const& timings() const = 0;
};

/// A model in memory.
struct LoadedModel {
    ModelDigest digest;
    std::uint32_t slots = 0;
    std::uint32_t busy = 0;
    std::uint32_t context = 0;
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
};

/// How engines are run.
struct Options {
    std::filesystem::path program;             ///< plexus-engine
    std::vector<std::string> forbidden_paths;  ///< what the engine's probe must fail to open
    std::vector<std::string> arguments;        ///< further ones, for tests
    std::uint32_t context = 4096;              ///< tokens a slot
    std::uint32_t slots = 4;
    std::uint32_t threads = 2;
    std::uint64_t memory_limit_bytes = 0;  ///< of one engine beside the mapped model; 0: none
    Duration idle_limit = std::chrono::minutes(30);  ///< an unused model leaves memory after this
    Duration load_limit = std::chrono::minutes(5);
    std::function<void(sandbox::Report const&)> on_walls{};  ///< called with what each engine proved, once it is ready
};

/// Runs models on this device, one sandboxed engine process each, started when needed.
class Inference {
public:
    virtual ~Inference() = default;

    /// Starts an answer to the body of a task; loads the model first if it is not in memory.
    /// `loading` is called once if the caller has to wait for that.
    /// Errors: those of the source; `unavailable` (does not start, too many requests), `timed_out`.
    virtual Task<Result<std::unique_ptr<Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                            std::function<void()> loading) = 0;
    virtual std::vector<LoadedModel> loaded() const = 0;
    /// Ends the model's engine; running answers fail with `closed`. False if it was not loaded.
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
