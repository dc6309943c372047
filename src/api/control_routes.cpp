#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/control_body.h"
#include "api/progress_lines.h"
#include "api/routes.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto default_invite_lifetime = std::chrono::minutes(5);
constexpr auto longest_invite_lifetime = std::chrono::hours(24);
constexpr auto join_patience = std::chrono::seconds(30);
constexpr auto code_patience = std::chrono::seconds(120);  // a person has to look at the other device

std::expected<Duration, Problem> lifetime_of(json::object const& body)
{
    auto const* value = body.if_contains("ttl_seconds");
    if (value == nullptr) {
        return default_invite_lifetime;
    }
    auto code = boost::system::error_code{};
    auto const seconds = value->to_number<std::int64_t>(code);
    auto const longest = std::chrono::duration_cast<std::chrono::seconds>(longest_invite_lifetime).count();
    if (code || seconds < 1 || seconds > longest) {
        return std::unexpected(
            invalid_request("ttl_seconds", fmt::format("'ttl_seconds' must be between 1 and {}.", longest)));
    }
    return std::chrono::seconds(seconds);
}

/// What to do about an invite that did not bring this device in.
std::string next_step_of_join(ErrorKind kind)
{
    switch (kind) {
    case ErrorKind::conflict: return "'plexus device ls' shows the devices of the mesh that this device is in.";
    case ErrorKind::not_found:
        return "Check that the device which shows the code is on the same network, and that 'plexus invite' still "
               "waits there.";
    case ErrorKind::unavailable:
        return "Check that Plexus runs there and that both devices are on one network, then try again.";
    default: return "Make a new invite with 'plexus invite' on a device of the mesh.";
    }
}

}  // namespace

Task<int> show_status(RouteContext context)
{
    auto status = to_json(context.services.control.status());
    status["models"] = context.services.models.list().size();
    status["devices"] = context.services.mesh.devices().size();
    status["api_port"] = context.options.guard.port;
    status["ollama_port"] = nullptr;
    if (context.options.guard.ollama_port != 0) {
        status["ollama_port"] = context.options.guard.ollama_port;
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(status));
}

Task<int> show_checks(RouteContext context)
{
    auto const checks = co_await context.services.control.checks();
    co_return co_await answer_json(context.exchange, 200, json::serialize(list_json("checks", checks)));
}

Task<int> shut_down(RouteContext context)
{
    auto const status = co_await answer_json(context.exchange, 202, R"({"status":"stopping"})");
    context.services.control.shut_down();
    co_return status;
}

Task<int> pause_device(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const paused = flag_field(*body, "paused");
    if (!paused || !*paused) {
        auto problem = paused ? invalid_request("paused", "'paused' is missing.", "missing_field") : paused.error();
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const done = context.services.control.pause(**paused);
    if (!done) {
        co_return co_await answer_problem(context.exchange, problem_from(done.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(json::object{{"paused", **paused}}));
}

Task<int> list_devices(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200,
                                   json::serialize(list_json("devices", context.services.mesh.devices())));
}

Task<int> revoke_device(RouteContext context)
{
    auto const revoked = context.services.mesh.revoke(context.argument);
    if (!revoked) {
        co_return co_await answer_problem(context.exchange, problem_from(revoked.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(*revoked)));
}

Task<int> list_invites(RouteContext context)
{
    auto items = json::array{};
    for (auto const& invite : context.services.mesh.invites()) {
        items.emplace_back(to_json(invite, false));
    }
    auto body = json::serialize(json::object{{"invites", std::move(items)}});
    co_return co_await answer_json(context.exchange, 200, std::move(body));
}

Task<int> create_invite(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const role = text_field(*body, "role");
    auto const lifetime = lifetime_of(*body);
    if (!role || !lifetime) {
        co_return co_await answer_problem(context.exchange, role ? lifetime.error() : role.error());
    }
    auto const invite = co_await context.services.mesh.invite(role->empty() ? "member" : *role, *lifetime);
    if (!invite) {
        co_return co_await answer_problem(context.exchange, problem_from(invite.error()));
    }
    co_return co_await answer_json(context.exchange, 201, json::serialize(to_json(*invite, true)));
}

Task<int> withdraw_invite(RouteContext context)
{
    auto const withdrawn = context.services.mesh.withdraw(context.argument);
    if (!withdrawn) {
        co_return co_await answer_problem(context.exchange, problem_from(withdrawn.error()));
    }
    co_return co_await answer_json(context.exchange, 200, R"({"withdrawn":true})");
}

Task<int> answer_applicant(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const device = text_field(*body, "device");
    auto const lets_in = flag_field(*body, "let_in");
    if (!device || !lets_in) {
        co_return co_await answer_problem(context.exchange, device ? lets_in.error() : device.error());
    }
    if (device->empty() || !*lets_in) {
        auto const* missing = device->empty() ? "device" : "let_in";
        auto problem = invalid_request(missing, fmt::format("'{}' is missing.", missing), "missing_field");
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const decided = context.services.mesh.decide(context.argument, *device, **lets_in);
    if (!decided) {
        co_return co_await answer_problem(context.exchange, problem_from(decided.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(json::object{{"let_in", **lets_in}}));
}

Task<int> join_mesh(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const link = text_field(*body, "link");
    auto const code = text_field(*body, "code");
    if (!link || !code) {
        co_return co_await answer_problem(context.exchange, link ? code.error() : link.error());
    }
    if (link->empty() == code->empty()) {
        auto problem = invalid_request("link", "Either 'link' or 'code' is needed.", "missing_field");
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const deadline = context.env.deadline_in(code->empty() ? join_patience : code_patience);
    auto const joined = co_await context.services.mesh.join(code->empty() ? *link : *code, deadline);
    if (!joined) {
        auto problem = problem_from(joined.error());
        problem.next = next_step_of_join(joined.error().kind);
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    co_return co_await answer_json(context.exchange, 201, json::serialize(to_json(*joined)));
}

Task<int> list_models(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200,
                                   json::serialize(list_json("models", context.services.models.list())));
}

Task<int> import_model(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto path = text_field(*body, "path");
    auto name = text_field(*body, "name");
    if (!path || !name) {
        co_return co_await answer_problem(context.exchange, path ? name.error() : path.error());
    }
    if (path->empty() || path->front() != '/') {
        auto problem = invalid_request("path", "'path' must be the absolute path of a file.");
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto work = [&](ProgressReport report) -> Task<Result<json::object>> {
        auto const model = co_await context.services.models.import_file(*path, *name, std::move(report));
        co_return transform(model, [](ModelView const& view) { return json::object{{"model", to_json(view)}}; });
    };
    co_return co_await answer_with_progress(context, std::move(work));
}

Task<int> remove_model(RouteContext context)
{
    auto const removed = co_await context.services.models.remove(context.argument);
    if (!removed) {
        co_return co_await answer_problem(context.exchange, problem_from(removed.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(*removed)));
}

}  // namespace plexus::api
