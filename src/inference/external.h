#pragma once

#include <filesystem>

#include "inference/inference.h"

namespace plexus::inference {

/// Limits of what engines of others may cost us.
inline constexpr std::size_t max_external_engines = 16;
inline constexpr std::size_t max_external_models = 64;  ///< of one engine; the rest is left out
inline constexpr std::size_t max_model_list_bytes = 1024 * 1024;
inline constexpr std::size_t max_engine_error_bytes = 64 * 1024;  ///< of an answer that is an error
inline constexpr std::size_t max_engine_token_bytes = 4096;
/// Tasks at one engine at a time: it has slots and a queue of its own, of which it does not tell.
inline constexpr std::uint32_t max_external_tasks = 1024;
inline constexpr auto health_interval = std::chrono::seconds(15);
inline constexpr auto health_limit = std::chrono::seconds(5);
inline constexpr unsigned failures_until_away = 2;  ///< in a row; one that listens no more is away at once

/// Where the owner's engine listens, and the file of the token that it wants, if any.
struct ExternalAddress {
    std::string url{};  ///< as external_url() gives it
    std::filesystem::path token_file{};

    bool operator==(ExternalAddress const&) const = default;
};

/// A model that such an engine serves. It has no file here.
struct ExternalModel {
    ModelDigest digest{};
    std::string name{};         ///< as its engine calls it
    std::uint32_t context = 0;  ///< tokens; 0: the engine does not say
    bool gives_vectors = false;
    bool takes_tool_by_name = false;  ///< and no tool_choice "required": llama-cpp-python

    bool operator==(ExternalModel const&) const = default;
};

struct ExternalEngine {
    ExternalAddress address{};
    bool is_there = false;
    std::string problem{};  ///< why it is away
    std::vector<ExternalModel> models{};
    std::uint32_t busy = 0;
};

/// The address of an engine in one spelling: http or https, without "/v1", "/" or a query at its end.
/// Errors: `malformed`, `too_large`.
Result<std::string> external_url(std::string_view text);

/// The identity of a model without a file: SHA-256 of "plexus external model", `device`, `url` and `name`, each ended by
/// a zero byte. A file's digest is one of another message, so the two never meet.
ModelDigest external_digest(std::string_view device, std::string_view url, std::string_view name);

/// The models of an answer to GET /v1/models. Names that are no printable ASCII of 1 to 128 bytes are left out.
/// Errors: `malformed`; `conflict` if Plexus itself answers there.
Result<std::vector<ExternalModel>> parse_model_list(std::string_view json, std::string_view device,
                                                    std::string_view url);

/// The error of an answer of such an engine that is not a good one.
Error external_error(int status, std::string_view body);

/// OpenAI-compatible servers that the owner runs: asked by HTTP, watched every health_interval while they do nothing for us.
/// Redirects are not followed. Our walls do not stand around them.
class ExternalEngines final : public TaskEngine {
public:
    /// `device` is part of the models' digests. `changed` is called on the loop when an engine or its models come or go.
    /// `env` must outlive it.
    ExternalEngines(Env& env, std::string device, std::function<void()> changed);
    ~ExternalEngines() override;

    /// Begins to watch an engine. Errors: `conflict` (known already), `unavailable` over max_external_engines.
    Result<void> add(ExternalAddress address);
    /// Running answers go on. False if it is not known.
    bool remove(std::string_view url);
    /// Asks an engine for its models, whether it is known or not; one that is known is there or away by that.
    /// Errors: `unavailable`, `not_allowed` (token), `malformed`, `conflict` (Plexus), `timed_out`, `too_large`.
    Task<Result<ExternalEngine>> test(ExternalAddress address);

    std::vector<ExternalEngine> list() const;
    /// Whether an engine that is known serves or served it.
    bool holds(ModelDigest const& model) const;

    /// Errors: `unavailable` (away, busy, not of that kind); `malformed`.
    Task<Result<std::unique_ptr<Generation>>> start(ModelDigest model, TaskKind kind, std::string body,
                                                    std::function<void()> loading) override;
    /// None is busy: others may use the engine too, and it does not tell.
    std::vector<LoadedModel> loaded() const override;

    /// Must be awaited before destruction.
    Task<> stop();

private:
    struct Engine;
    class Answer;
    using EngineHandle = std::shared_ptr<Engine>;

    EngineHandle find(std::string_view url) const;
    Task<> watch(EngineHandle engine);
    Task<> look_at(EngineHandle engine);
    Task<Result<std::vector<ExternalModel>>> ask(ExternalAddress address, std::string token);
    Result<std::string> token_of(ExternalAddress const& address) const;
    void take(Engine& engine, Result<std::vector<ExternalModel>> models, std::string token);
    void lose(Engine& engine, Error const& error);

    Env& env_;
    std::string device_;
    std::function<void()> changed_;
    std::vector<EngineHandle> engines_;
    bool stopping_ = false;
    TaskScope tasks_;
};

}  // namespace plexus::inference
