#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/routes.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

using namespace asio::experimental::awaitable_operators;

constexpr auto default_invite_lifetime = std::chrono::minutes(5);
constexpr auto longest_invite_lifetime = std::chrono::hours(24);
constexpr auto join_patience = std::chrono::seconds(30);
constexpr auto progress_interval = std::chrono::milliseconds(100);

template <typename View>
std::string list_text(std::string_view name, std::vector<View> const& views)
{
    auto items = json::array{};
    for (auto const& view : views) {
        items.emplace_back(to_json(view));
    }
    return json::serialize(json::object{{name, std::move(items)}});
}

std::expected<json::object, Problem> body_of(Request const& request)
{
    auto code = boost::system::error_code{};
    auto value = json::parse(request.body.empty() ? "{}" : request.body, code);
    if (code || !value.is_object()) {
        return std::unexpected(invalid_request("", "The body must be a JSON object.", "malformed"));
    }
    return std::move(value.get_object());
}

/// A text field; empty if it is not there.
std::expected<std::string, Problem> text_field(json::object const& body, std::string_view name)
{
    auto const* value = body.if_contains(name);
    if (value == nullptr) {
        return std::string{};
    }
    if (!value->is_string()) {
        return std::unexpected(
            invalid_request(std::string(name), fmt::format("'{}' must be a string.", name), "invalid_type"));
    }
    return std::string(value->get_string());
}

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

/// Runs an import and tells the client how far it is, one JSON object a line.
class Import {
public:
    Import(RouteContext& context, std::string path, std::string name)
        : context_(context), path_(std::move(path)), name_(std::move(name)), changed_(context.env.executor())
    {
    }

    Task<int> run()
    {
        auto head = with_common_headers({200, {{"content-type", "application/jsonl"}}, ""});
        if (!co_await context_.exchange.start(std::move(head))) {
            co_return 200;
        }
        co_await (import_file() && tell());
        std::ignore = co_await context_.exchange.finish();
        co_return 200;
    }

private:
    Task<> import_file()
    {
        auto note = [this](ImportProgress progress) {
            progress_ = std::move(progress);
            changed_.notify();
        };
        auto& models = context_.services.models;
        result_ = co_await models.import_file(path_, name_, std::move(note));
        changed_.notify();
    }

    Task<> tell()
    {
        while (!result_) {
            co_await changed_.wait();
            if (auto progress = std::exchange(progress_, std::nullopt); progress && !result_) {
                std::ignore = co_await context_.exchange.write(line_of(*progress));
                co_await sleep_for(context_.env, progress_interval);
            }
        }
        std::ignore = co_await context_.exchange.write(last_line());
    }

    static std::string line_of(ImportProgress const& progress)
    {
        return json::serialize(json::object{{"type", "progress"},
                                            {"stage", progress.stage},
                                            {"done_bytes", progress.done_bytes},
                                            {"total_bytes", progress.total_bytes}}) +
               "\n";
    }

    std::string last_line() const
    {
        if (result_->has_value()) {
            return json::serialize(json::object{{"type", "done"}, {"model", to_json(**result_)}}) + "\n";
        }
        auto const problem = problem_from(result_->error());
        return json::serialize(json::object{
                   {"type", "error"}, {"code", problem.code}, {"status", problem.status}, {"detail", problem.text}}) +
               "\n";
    }

    RouteContext& context_;
    std::string path_;
    std::string name_;
    std::optional<ImportProgress> progress_;
    std::optional<Result<ModelView>> result_;
    Signal changed_;
};

/// What to do about an invite that did not bring this device in.
std::string next_step_of_join(ErrorKind kind)
{
    switch (kind) {
    case ErrorKind::conflict: return "'plexus device ls' shows the devices of the mesh that this device is in.";
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
    co_return co_await answer_json(context.exchange, 200, list_text("checks", checks));
}

Task<int> shut_down(RouteContext context)
{
    auto const status = co_await answer_json(context.exchange, 202, R"({"status":"stopping"})");
    context.services.control.shut_down();
    co_return status;
}

Task<int> list_devices(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200, list_text("devices", context.services.mesh.devices()));
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

Task<int> join_mesh(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const link = text_field(*body, "link");
    if (!link || link->empty()) {
        auto problem = link ? invalid_request("link", "'link' is missing.", "missing_field") : link.error();
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const deadline = context.env.deadline_in(join_patience);
    auto const joined = co_await context.services.mesh.join(*link, deadline);
    if (!joined) {
        auto problem = problem_from(joined.error());
        problem.next = next_step_of_join(joined.error().kind);
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    co_return co_await answer_json(context.exchange, 201, json::serialize(to_json(*joined)));
}

Task<int> list_models(RouteContext context)
{
    co_return co_await answer_json(context.exchange, 200, list_text("models", context.services.models.list()));
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
    auto import = Import(context, std::move(*path), std::move(*name));
    co_return co_await import.run();
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
