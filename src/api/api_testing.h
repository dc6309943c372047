#pragma once

// A device with the API over scripted services, and a client that talks to it, for the tests of this module.

#include "api/api.h"
#include "base/sim_env.h"

namespace plexus::api::testing {

using namespace std::chrono_literals;

inline constexpr auto token = std::string_view("plx-0123456789abcdef");
inline constexpr std::uint16_t port = 7597;
inline constexpr std::uint16_t ollama_port = 11434;

/// What an answer does, step by step.
struct Step {
    enum class Kind { event, wait, error } kind = Kind::event;
    AnswerEvent event{};
    Duration wait{};
    Error error{};
};

Step chunk(std::string text);
Step content(std::string_view text);
Step usage();
Step finished();
Step routed(std::string device);
Step calling(std::string_view fields);  ///< the fields of one tool call of a delta
Step reasoning(std::string_view text);
Step ending(std::string_view finish_reason);
Step pause(Duration duration);
Step failure(ErrorKind kind, std::string text);

/// Answers every task with the same steps, but kinds that have steps of their own with those, and the second task, the
/// third and so on with further ones if there are.
class ScriptedAnswers final : public Answers {
public:
    explicit ScriptedAnswers(Env& env) : env_(env) {}

    Task<Result<std::unique_ptr<Answer>>> start(InferenceTask task) override;

    std::vector<Step> steps;
    std::map<TaskKind, std::vector<Step>> steps_of;
    std::vector<std::vector<Step>> further_steps;  ///< of the second task, the third and so on
    std::optional<Error> refusal;
    std::vector<InferenceTask> tasks;  ///< as they came
    std::size_t running = 0;
    std::size_t broken_off = 0;  ///< calls of next() that were cancelled
    std::optional<Time> cancelled_at;  ///< when the last answer was destroyed before its end

private:
    Env& env_;
};

class ScriptedServices final : public Models, public Mesh, public Control {
public:
    std::vector<ModelView> list() const override { return models; }
    Task<Result<ModelView>> import_file(std::string path, std::string name,
                                        std::function<void(ImportProgress)> progress) override;
    Task<Result<ModelView>> remove(std::string name) override;
    EnginesView engines() const override { return {.engines = loaded, .memory_bytes = 1000, .promised_bytes = 500}; }
    Task<Result<EngineView>> load(std::string name) override;
    Result<EngineView> unload(std::string name) override;
    Result<void> pin(std::string name, bool pinned) override;
    Task<Result<void>> set_draft(std::string name, std::string draft) override;
    std::vector<ExternalEngineView> external_engines() const override { return external; }
    Task<Result<ExternalEngineView>> add_external_engine(ExternalEngineOrder order) override;
    Task<Result<ExternalEngineView>> test_external_engine(std::string url) override;
    Result<ExternalEngineView> remove_external_engine(std::string url) override;
    Task<Result<ModelView>> pull(PullOrder order, ProgressReport progress) override;
    Task<Result<ModelView>> verify(std::string name, ProgressReport progress) override;
    Task<Result<ModelDetails>> details(std::string name) override;
    std::vector<SuggestionView> suggestions() const override;
    Result<PlanView> plan(std::string name, std::uint32_t context, std::uint32_t slots) const override;
    Result<std::vector<RouteView>> routes(RouteQuestion question) const override;
    Task<Result<std::vector<ForeignModelView>>> foreign(std::string kind, std::string folder) override;
    Task<Result<ModelView>> copy(CopyOrder order, ProgressReport progress) override;

    std::vector<DeviceView> devices() const override;
    Result<DeviceView> revoke(std::string const& device) override;
    std::vector<InviteView> invites() const override { return open_invites; }
    Task<Result<InviteView>> invite(std::string role, Duration lifetime) override;
    Result<void> withdraw(std::string const& invite_id) override;
    Result<void> decide(std::string const& invite_id, std::string const& device_id, bool lets_in) override;
    Task<Result<JoinView>> join(std::string link, Deadline deadline) override;

    StatusView status() const override;
    Task<std::vector<CheckView>> checks() override;
    Result<void> pause(bool paused) override
    {
        is_paused = paused;
        return {};
    }
    void shut_down() override { was_shut_down = true; }

    std::vector<ModelView> models;
    std::vector<EngineView> loaded;
    std::vector<ExternalEngineView> external;
    std::optional<Error> load_refusal;
    std::vector<InviteView> open_invites;
    std::optional<bool> let_in;  ///< the last decision on an applicant
    std::size_t changes = 0;  ///< calls that change something
    bool was_shut_down = false;
    bool is_paused = false;
    bool is_ready = true;
};

/// A parsed response.
struct Reply {
    int status = 0;
    std::vector<Header> headers;
    std::string body;  ///< without chunk framing
    std::string header(std::string_view name) const;
};

/// The responses in `text`, which must be whole.
std::vector<Reply> parse_replies(std::string_view text, bool to_head = false);

struct ApiFixture {
    explicit ApiFixture(std::uint64_t seed = 1, ApiOptions options = {});
    ~ApiFixture();

    /// Connects, sends `text` as it is, and gives all that came back until the server closed, or until `patience`.
    std::string exchange_raw(std::string text, Door door = Door::loopback, Duration patience = 5s);
    /// One request on a connection of its own.
    Reply ask(std::string text, Door door = Door::loopback, Duration patience = 60s);

    sim::World world;
    sim::SimEnv& device;
    ScriptedAnswers answers;
    ScriptedServices services;
    std::unique_ptr<Api> api;
};

/// A request with our Host, the token and "connection: close".
std::string request(std::string_view method, std::string_view target, std::string_view body = "");
std::string chat(std::string_view fields = "");

}  // namespace plexus::api::testing
