#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "commands.h"
#include "connect_tools.h"
#include "json_edit.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr unsigned secret_mode = 0600;

Failure file_failure(std::string what, Error const& error, std::string next)
{
    auto const exit = error.kind == ErrorKind::conflict ? ExitCode::conflict : ExitCode::failed;
    return {exit, std::string(to_string(error.kind)), std::move(what), error.text, std::move(next)};
}

std::string file_text(Context& context, std::filesystem::path const& file, Result<void>& outcome)
{
    auto const content = context.env.disk().read_file(file, max_edited_bytes);
    if (!content && content.error().kind != ErrorKind::not_found) {
        outcome = std::unexpected(content.error());
    }
    return content ? std::string(as_text(*content)) : std::string();
}

Result<std::string> changed_text(ToolPlan const& plan, std::string_view before, bool undo)
{
    switch (plan.way) {
    case ToolPlan::Way::json_member:
        return undo ? without_member(before, plan.path) : with_member(before, plan.path, json::parse(plan.snippet));
    case ToolPlan::Way::json_element: {
        auto const value = json::parse(plan.snippet).as_object();
        return undo ? without_element(before, value.at("name").as_string()) : with_element(before, value);
    }
    case ToolPlan::Way::own_file: break;
    }
    return plan.snippet;
}

/// What the file is to hold afterwards is written beside it and renamed, so that it is whole at every moment. It may hold
/// the token, so nobody else may read a new one; the mode of one that is there stays.
Result<void> change_file(Context& context, ToolPlan const& plan, bool undo)
{
    auto& disk = context.env.disk();
    auto read = Result<void>{};
    auto const before = file_text(context, plan.file, read);
    if (!read || (undo && before.empty())) {
        return read;
    }
    if (undo && plan.way == ToolPlan::Way::own_file) {
        return disk.remove(plan.file);
    }
    auto const after = changed_text(plan, before, undo);
    if (!after) {
        return std::unexpected(after.error());
    }
    if (*after == before) {
        return {};
    }
    auto const status = disk.status(plan.file);
    if (auto made = disk.make_folders(plan.file.parent_path(), 0700); !made) {
        return made;
    }
    return disk.write_file(plan.file, as_view(*after), status ? status->mode : secret_mode);
}

std::string printed(ToolPlan const& plan)
{
    if (plan.way == ToolPlan::Way::own_file) {
        return plan.snippet;
    }
    auto value = json::parse(plan.snippet);
    for (auto rest = plan.path.size(); rest > 0; --rest) {
        value = json::object{{plan.path[rest - 1], std::move(value)}};
    }
    return pretty(plan.way == ToolPlan::Way::json_element ? json::value(json::array{std::move(value)}) : value) + "\n";
}

Outcome<Connection> connection_from(Context& context, json::value const& status, json::value const& models,
                                    std::string const& wanted)
{
    auto connection = Connection{.url = fmt::format("http://127.0.0.1:{}", status.at("api_port").to_number<int>()),
                                 .token_file = context.paths.api_token(),
                                 .token = {},
                                 .model = wanted,
                                 .models = {}};
    auto const& all = models.at("models").as_array();
    for (auto const& model : all) {
        if (model.at("chat").as_bool()) {
            auto const id = std::string(model.at("id").as_string());
            connection.models.push_back({id, model.at("context_length").to_number<std::uint64_t>()});
        }
    }
    if (connection.models.empty()) {
        return failed(ExitCode::not_found, "not_found", "No device has a chat model yet.", "",
                      "plexus model import FILE.gguf");
    }
    if (wanted.empty()) {
        connection.model = preferred_model(all)->at("id").as_string();
    }
    if (std::ranges::find(connection.models, connection.model, &ConnectedModel::id) == connection.models.end()) {
        return failed(ExitCode::not_found, "model_not_found", fmt::format("There is no chat model '{}'.", wanted), "",
                      "plexus model ls");
    }
    auto const token = context.env.disk().read_file(connection.token_file, 1024);
    if (!token) {
        return std::unexpected(file_failure("The API token cannot be read.", token.error(), "plexus doctor"));
    }
    connection.token = as_text(*token);
    while (connection.token.ends_with('\n')) {
        connection.token.pop_back();
    }
    return connection;
}

void tell(Context& context, ConnectOptions const& options, ToolPlan const& plan)
{
    if (context.options.json) {
        auto then = json::array(plan.then.begin(), plan.then.end());
        context.print_document("connect", {{"tool", options.tool},
                                           {"file", plan.file.string()},
                                           {"content", printed(plan)},
                                           {"written", options.write},
                                           {"undone", options.undo},
                                           {"then", std::move(then)}});
        return;
    }
    if (options.undo) {
        context.terminal.line(fmt::format("{} no longer names this device.", plan.file.string()));
        return;
    }
    if (!options.write) {
        context.terminal.say(fmt::format("{}:", plan.file.string()));
        context.terminal.write(printed(plan));
        context.terminal.say(fmt::format("Next: plexus connect {} --write", options.tool));
        return;
    }
    context.terminal.line(fmt::format("Written: {}", plan.file.string()));
    for (auto const& step : plan.then) {
        context.terminal.say("Next: " + step);
    }
}

}  // namespace

Task<Outcome<>> connect_tool(Context& context, ConnectOptions options)
{
    auto connection = Outcome<Connection>(Connection{});
    if (!options.undo) {
        auto const status = co_await context.client.get("/api/v1/status");
        if (!status) {
            co_return std::unexpected(status.error());
        }
        auto const models = co_await context.client.get("/api/v1/models");
        if (!models) {
            co_return std::unexpected(models.error());
        }
        connection = connection_from(context, *status, *models, options.model);
        if (!connection) {
            co_return std::unexpected(connection.error());
        }
    }
    auto const plan = plan_connection(options.tool, *connection, context.paths, process_environment());
    if (!plan) {
        co_return std::unexpected(
            file_failure("There is no place for the file.", plan.error(), "export HOME=/home/you"));
    }
    if (options.write || options.undo) {
        if (auto const changed = change_file(context, *plan, options.undo); !changed) {
            auto const what = fmt::format("{} was left as it is.", plan->file.string());
            co_return std::unexpected(
                file_failure(what, changed.error(), fmt::format("plexus connect {}", options.tool)));
        }
    }
    tell(context, options, *plan);
    co_return Outcome<>{};
}

}  // namespace plexus::cli
