#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/task.h"
#include "base/time.h"

/// What the API needs from the rest of the device. `node` fits the real parts to these interfaces.
namespace plexus::api {

/// What is asked of a model.
enum class TaskKind {
    chat,           ///< body: OpenAI chat completions, always streamed and with usage
    completion,     ///< body: OpenAI legacy completions, always streamed and with usage
    infill,         ///< body: llama.cpp /infill (input_prefix, input_suffix), always streamed
    embeddings,     ///< body: OpenAI embeddings, encoding_format float
    rerank,         ///< body: query, documents, top_n
    tokenize,       ///< body: a chat body; answer: {"tokens":N,"context":C}
    transcription,  ///< body: OpenAI transcription fields and the sound as base64
};

/// Of these kinds each chunk is one JSON object of a stream; of the others the chunks together are one JSON document.
constexpr bool is_streamed(TaskKind kind)
{
    return kind == TaskKind::chat || kind == TaskKind::completion || kind == TaskKind::infill;
}

/// A task as it enters the mesh, whatever dialect it came in.
struct InferenceTask {
    std::string request_id{};
    std::string model{};  ///< as the client named it
    std::string body{};   ///< JSON object
    TaskKind kind = TaskKind::chat;
    /// How long the model stays in memory after it: nothing means as set for the device, zero means unload at once,
    /// negative for ever.
    std::optional<Duration> keep_alive{};
};

/// Where a task runs.
struct Route {
    std::string device;  ///< name for people
    std::string model_digest;  ///< lower-case hexadecimal SHA-256
};

/// One step of an answer.
struct AnswerEvent {
    enum class Kind {
        routed,  ///< `route` is known; comes before the first chunk, again after a change of device
        waiting,  ///< nothing yet; `text` says for what ("loading the model")
        chunk,  ///< `text` is one JSON object of the stream, or a part of the one document: is_streamed()
        finished,  ///< nothing follows
    };
    Kind kind = Kind::finished;
    std::string text;
    Route route;
};

/// A running task. Destroying it cancels the task.
class Answer {
public:
    virtual ~Answer() = default;
    /// Errors end the answer: `malformed` (the request), `too_large` (context), `not_found` (model), `unavailable`
    /// (full queue, no device), `closed` (device or engine lost), `timed_out`.
    virtual Task<Result<AnswerEvent>> next() = 0;
};

class Answers {
public:
    virtual ~Answers() = default;
    /// Errors: `not_found` for an unknown model, `unavailable`, `malformed`.
    virtual Task<Result<std::unique_ptr<Answer>>> start(InferenceTask task) = 0;
};

/// A model that some device of the mesh holds.
struct ModelView {
    std::string id{};                    ///< the name clients use
    std::vector<std::string> aliases{};  ///< other names
    std::string digest{};
    std::uint64_t size_bytes = 0;
    std::string architecture{};
    std::string quantization{};
    std::uint64_t parameters = 0;
    std::uint32_t context_length = 0;  ///< tokens that a question may have now with its answer
    bool is_chat = true;
    std::vector<std::string> capabilities{};  ///< of "chat", "embeddings", "rerank"
    std::uint64_t created_seconds = 0;  ///< since 1970
    bool is_local = false;
    bool is_external = false;  ///< served by an engine that the owner runs; it has no file
    std::vector<std::string> devices{};    ///< names of the devices that hold it
    std::vector<std::string> loaded_on{};  ///< and of those that have it in memory
};

/// A model in the memory of this device.
struct EngineView {
    std::string model{};  ///< name
    std::string digest{};
    std::uint32_t context = 0;  ///< tokens a slot
    std::uint32_t slots = 0;
    std::uint32_t busy = 0;
    bool is_pinned = false;
    bool is_reduced = false;  ///< fewer slots or tokens than the settings lead to, since memory is short
    std::uint64_t predicted_bytes = 0;
    std::uint64_t used_bytes = 0;  ///< 0: not known
    std::uint64_t weights_bytes = 0;
    std::uint64_t cache_bytes = 0;
    std::uint64_t compute_bytes = 0;
    std::string backend{};  ///< of llama.cpp: "CPU", "Vulkan"
    std::string gpu{};  ///< empty: none
    std::uint32_t gpu_layers = 0;
    std::uint64_t gpu_bytes = 0;  ///< of weights, cache and compute together
    std::optional<Duration> leaves_in{};  ///< nothing: stays
    int process = 0;
    std::string draft{};  ///< name of the model that guesses for it; empty: none
    std::uint64_t drafted_tokens = 0;  ///< guessed since it was loaded, by the draft model or from the text before
    std::uint64_t accepted_tokens = 0;  ///< of those the ones that went into answers

    double used_of_predicted() const
    {
        return predicted_bytes == 0 ? 0 : static_cast<double>(used_bytes) / static_cast<double>(predicted_bytes);
    }
};

struct EnginesView {
    std::vector<EngineView> engines{};
    std::uint64_t memory_bytes = 0;  ///< that all engines together may need
    std::uint64_t promised_bytes = 0;  ///< what those in memory were predicted to need
};

/// An OpenAI-compatible server of this device's owner, and what it serves.
struct ExternalEngineView {
    struct Served {
        std::string name{};
        std::string digest{};
        std::uint32_t context = 0;  ///< tokens; 0: not known
        bool gives_vectors = false;
    };
    std::string url{};
    std::string token_file{};
    bool is_there = false;
    std::string problem{};  ///< why it is away
    std::vector<Served> models{};
    std::uint32_t busy = 0;
    std::uint32_t slots = 0;
};

struct ExternalEngineOrder {
    std::string url{};
    std::string token_file{};  ///< absolute path; empty: it wants no token
};

struct ImportProgress {
    std::string stage;  ///< "checking", "copying", "fetching"
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::vector<std::string> sources{};  ///< names of the devices that a copy comes from
};

using ProgressReport = std::function<void(ImportProgress)>;

/// A model of the mesh that this device is to hold too.
struct CopyOrder {
    std::string model{};  ///< name or digest
    std::string from{};  ///< name or id of the one device to copy from; empty: all that hold it
    std::string name{};  ///< here; empty: the same
};

/// What a device would need for a model, and whether it has it.
struct FitView {
    std::string device{};
    bool fits = false;
    std::string text{};  ///< "needs 3.1 GB, 5.2 GB are free"
};

struct PlanView {
    std::string model{};
    std::uint32_t context = 0;  ///< tokens a slot
    std::uint32_t slots = 0;
    std::uint64_t weight_bytes = 0;
    std::uint64_t cache_bytes = 0;
    std::uint64_t compute_bytes = 0;
    std::uint64_t overhead_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::vector<FitView> devices{};  ///< this one first
};

/// How a device stands for a task for a model. Times are nothing where it is left out.
struct RouteView {
    std::string device{};
    std::string state{};  ///< "chosen", "possible", "left out"
    std::string reason{};
    std::optional<Duration> whole{};
    Duration queue{};
    Duration load{};
    Duration prompt{};
    Duration answer{};
    Duration travel{};
};

/// A task that is only thought of. Zero tokens: as tasks for the model are wont to have.
struct RouteQuestion {
    std::string model{};
    std::uint32_t prompt_tokens = 0;
    std::uint32_t output_tokens = 0;
};

/// A model of this device, with what is known of it alone.
struct ModelDetails {
    ModelView model{};
    std::string title{};  ///< as the file says
    std::string license{};
    std::string origin{};
    std::uint64_t trained_context = 0;  ///< tokens that it was made for
    std::string path{};
    std::string tokenizer{};
    std::uint64_t layers = 0;
    std::uint64_t embedding_length = 0;
    std::string draft{};  ///< name of the model that guesses for it when it is loaded; empty: none
    std::vector<std::string> abilities{};  ///< "chat", "tools", "thinking", "vision", "embedding"
    WallTime added{};
};

/// A model of the built-in list.
struct SuggestionView {
    std::string name{};
    std::string title{};
    std::string kind{};
    std::string license{};
    std::string source{};
    std::uint64_t size_bytes = 0;
    std::uint64_t context_length = 0;  ///< that it was made for
    bool is_local = false;
    std::vector<FitView> devices{};
};

/// A model in the folder of another program.
struct ForeignModelView {
    std::string name{};
    std::string path{};  ///< of its file, or of its first shard
    std::string sha256{};
    std::uint64_t size_bytes = 0;
    std::string problem{};  ///< why it cannot be used; empty if it can
};

struct PullOrder {
    std::string source{};  ///< address, hf:org/repo/file.gguf, or a name of the list
    std::string name{};
    std::string sha256{};
};

class Models {
public:
    virtual ~Models() = default;
    virtual std::vector<ModelView> list() const = 0;
    /// Fetches a model from elsewhere. Errors: `malformed`, `not_found`, `not_allowed`, `unavailable` (also: too many at a
    /// time), `refused`, `closed`, `timed_out`, `conflict`, `out_of_space`, `io`.
    virtual Task<Result<ModelView>> pull(PullOrder order, ProgressReport progress) = 0;
    /// Reads a model's file again. Errors: `not_found`, `malformed` (changed), `io`.
    virtual Task<Result<ModelView>> verify(std::string name, ProgressReport progress) = 0;
    /// Errors: `not_found`.
    virtual Task<Result<ModelDetails>> details(std::string name) = 0;
    virtual std::vector<SuggestionView> suggestions() const = 0;
    /// Of a model of this device or of the list; zero for context and slots: as this device would load it. Errors: `not_found`.
    virtual Result<PlanView> plan(std::string name, std::uint32_t context, std::uint32_t slots) const = 0;
    /// Where a task would run, the best first, and why. Errors: `not_found`, `malformed` (the model does not chat).
    virtual Result<std::vector<RouteView>> routes(RouteQuestion question) const = 0;
    /// What lies in a folder of "ollama" or "lm-studio". Errors: `malformed` (kind), `not_found`, `not_allowed`, `io`.
    virtual Task<Result<std::vector<ForeignModelView>>> foreign(std::string kind, std::string folder) = 0;
    /// Takes a file of this device into the store. `progress` is called on the loop.
    /// Errors: `not_found`, `malformed` (not a usable GGUF file), `out_of_space`, `conflict` (name taken), `io`.
    virtual Task<Result<ModelView>> import_file(std::string path, std::string name, ProgressReport progress) = 0;
    /// Copies a model from other devices of the mesh. What came stays when the copy ends early, for the next one.
    /// Errors: `not_found` (model or device), `unavailable` (no holder is there), `conflict` (name taken, or a copy is
    /// under way), `malformed`, `out_of_space`, `io`.
    virtual Task<Result<ModelView>> copy(CopyOrder order, ProgressReport progress) = 0;
    /// By name or digest. Errors: `not_found`, `conflict` while it is in use.
    virtual Task<Result<ModelView>> remove(std::string name) = 0;

    virtual EnginesView engines() const = 0;
    /// Brings a model of this device into memory. By name or digest, as below. Errors: `not_found`, `unavailable` (memory,
    /// engine), `timed_out`.
    virtual Task<Result<EngineView>> load(std::string name) = 0;
    /// Ends its engine. Errors: `not_found` if it is not in memory, `conflict` while it answers.
    virtual Result<EngineView> unload(std::string name) = 0;
    /// A pinned model stays in memory, also over a restart. Errors: `not_found`, `io`.
    virtual Result<void> pin(std::string name, bool pinned) = 0;
    /// Lets another model of this device guess tokens for a model, which is loaded with it; an empty `draft`: none does any
    /// more. Also over a restart. Errors: `not_found`, `malformed` (not the same vocabulary), `conflict` while it answers,
    /// `io`, those of `load`, after which all is as it was.
    virtual Task<Result<void>> set_draft(std::string name, std::string draft) = 0;

    virtual std::vector<ExternalEngineView> external_engines() const = 0;
    /// Makes a server known, also after the next start, once it has answered. Errors: `malformed` (address, token, no such
    /// server), `conflict` (known already, Plexus itself), `not_found` (token file), `unavailable`, `refused`,
    /// `timed_out`, `too_large`, `io`.
    virtual Task<Result<ExternalEngineView>> add_external_engine(ExternalEngineOrder order) = 0;
    /// Asks one that is known now. Errors: `not_found`; as above.
    virtual Task<Result<ExternalEngineView>> test_external_engine(std::string url) = 0;
    /// Errors: `not_found`, `io`.
    virtual Result<ExternalEngineView> remove_external_engine(std::string url) = 0;
};

/// What a device can compute on beside its processor.
struct GpuView {
    std::string name{};
    std::string kind{};  ///< "discrete", "integrated", "unknown", "software"; of other devices empty
    std::uint64_t memory_bytes = 0;
};

struct DeviceView {
    std::string id{};
    std::string name{};
    std::string role{};
    std::string state{};  ///< "ready", "busy", "paused", "away"
    bool is_self = false;
    std::vector<std::string> addresses{};
    std::optional<Duration> round_trip{};
    std::string version{};
    std::string processor{};
    std::uint32_t cores = 0;
    std::uint64_t memory_bytes = 0;
    std::uint64_t free_memory_bytes = 0;
    std::vector<GpuView> gpus{};
    std::vector<std::string> models{};
    std::uint32_t queue = 0;
};

/// A device that waits for a person to let it in.
struct ApplicantView {
    std::string id;
    std::string name;
    std::string address;
};

struct InviteView {
    std::string id;
    std::string link;  ///< holds the secret; only in the answer to its creation, like the code
    std::string code{};  ///< digits to type on a device near by; empty if it has none
    std::string role;
    WallTime expires{};
    std::optional<ApplicantView> applicant{};
};

struct JoinView {
    std::string mesh;
    std::string device;  ///< name of the device that let us in
    std::vector<DeviceView> devices;
};

class Mesh {
public:
    virtual ~Mesh() = default;
    virtual std::vector<DeviceView> devices() const = 0;
    /// Takes a device out of the mesh, by its name or id; gives it as it was. Errors: `not_found`, `conflict` (this device
    /// itself, or several of that name), `not_allowed` (this device is no owner), those of Disk.
    virtual Result<DeviceView> revoke(std::string const& device) = 0;
    virtual std::vector<InviteView> invites() const = 0;
    /// Errors: `malformed` (role), `not_allowed` (this device may not invite), `unavailable` (too many open).
    virtual Task<Result<InviteView>> invite(std::string role, Duration lifetime) = 0;
    virtual Result<void> withdraw(std::string const& invite_id) = 0;
    /// Lets a device in that knew the code, or not. Errors: `not_found`: it waits no more.
    virtual Result<void> decide(std::string const& invite_id, std::string const& device_id, bool lets_in) = 0;
    /// `link`, or the code that a device near by shows.
    /// Errors: `malformed` (no link of ours), `timed_out` (expired or no answer), `not_allowed` (used, withdrawn or
    /// foreign), `conflict` (already in a mesh with others), `unavailable` (no way to the device).
    virtual Task<Result<JoinView>> join(std::string link, Deadline deadline) = 0;
};

/// What stands around the engines.
struct SandboxView {
    std::string grade{};  ///< "A", "B" (for a GPU), "C"; empty if no engine can run, or nothing is known yet
    std::vector<std::string> walls{};
    std::vector<std::string> missing{};
    std::vector<std::string> doors{};  ///< that a GPU needs
    std::uint64_t probes = 0;
    std::string digest{};
    std::string reason{};  ///< why no engine can run
};

/// What models of this device are computed on.
struct ComputingView {
    std::string backend{};  ///< that the engine was built with: "none", "vulkan"
    std::string gpu{};  ///< empty: the processor alone
    std::vector<GpuView> gpus{};
    std::string problem{};  ///< why no GPU is used that should be
};

struct StatusView {
    std::string version{};
    std::string device{};
    std::string device_id{};
    std::string mesh_id{};
    std::string home{};
    std::vector<std::string> addresses{};
    std::uint64_t running_tasks = 0;
    std::uint64_t queued_tasks = 0;
    std::uint64_t foretold_tasks = 0;  ///< of this device, whose time was foretold
    std::uint64_t closely_foretold_tasks = 0;  ///< within a quarter
    Duration uptime{};
    bool is_ready = false;
    bool is_paused = false;  ///< other members get no answers here
    SandboxView sandbox{};
    ComputingView computing{};
};

/// A fact that somebody should look at, for `plexus doctor`.
struct CheckView {
    std::string name;
    bool is_good = true;
    std::string text;
    std::string next;  ///< what to do; empty if good
};

class Control {
public:
    virtual ~Control() = default;
    virtual StatusView status() const = 0;
    virtual Task<std::vector<CheckView>> checks() = 0;
    /// Gives other members no answers here, or answers again. Errors: `io`, `out_of_space`.
    virtual Result<void> pause(bool paused) = 0;
    /// Ends the daemon in order, soon after it returns.
    virtual void shut_down() = 0;
};

struct Services {
    Answers& answers;
    Models& models;
    Mesh& mesh;
    Control& control;
};

}  // namespace plexus::api
