#pragma once

#include "api/guard.h"
#include "api/http_server.h"
#include "api/metrics.h"
#include "api/problem.h"
#include "api/services.h"

namespace plexus::api {

struct ApiOptions {
    GuardRules guard;
    HttpLimits http;
    /// Silence in a stream longer than this is filled with a comment.
    Duration keep_alive = std::chrono::seconds(4);
    /// How long a streamed request waits for its first event before the head is sent without it.
    Duration head_patience = std::chrono::seconds(1);
};

/// The HTTP API of a device: OpenAI's models and chat completions, health, metrics, and the control routes.
///
/// Interfaces: docs/api.md. `env` and `services` must outlive it. `stop()` must be awaited before destruction.
class Api final : public Handler {
public:
    Api(Env& env, Services services, ApiOptions options);
    ~Api() override;

    /// Serves on `acceptor`. A port of the guard that was 0 becomes that of the first acceptor of its door.
    void serve_on(std::unique_ptr<Acceptor> acceptor, Door door);
    Task<> stop();

    std::optional<Response> refusal(Request const& head, Door door, std::string const& request_id) override;
    std::vector<Header> common_headers(Request const& head, Door door, std::string const& request_id) override;
    Task<> serve(Request request, Exchange& exchange) override;
    Response malformed(int status, std::string_view why, std::string const& target, Door door) override;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::api
