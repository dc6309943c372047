#include "connect_tools.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "json_edit.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr std::uint64_t usual_context = 4096;

struct Places {
    std::filesystem::path home;
    std::filesystem::path config;  ///< XDG
};

using Planner = ToolPlan (*)(Connection const&, Places const&, Paths const&, Environment const&);

struct Entry {
    Tool tool;
    Planner plan;
};

/// A TOML basic string; JSON's escapes are a part of TOML's.
std::string text_literal(std::string_view text)
{
    return json::serialize(json::string(text));
}

std::string shell_quoted(std::string_view text)
{
    auto whole = std::string("'");
    for (auto const symbol : text) {
        whole += symbol == '\'' ? std::string("'\\''") : std::string(1, symbol);
    }
    return whole + "'";
}

std::uint64_t context_of(Connection const& connection, std::string_view model)
{
    auto const found = std::ranges::find(connection.models, model, &ConnectedModel::id);
    return found == connection.models.end() || found->context_length == 0 ? usual_context : found->context_length;
}

/// A profile of its own, so that nothing else that Codex does changes; the token stays in its file.
ToolPlan plan_codex(Connection const& connection, Places const& places, Paths const&, Environment const& environment)
{
    auto const folder = environment("CODEX_HOME").value_or((places.home / ".codex").string());
    auto const text = fmt::format(R"(# Written by plexus connect codex
model = {}
model_provider = "plexus"
model_context_window = {}

[model_providers.plexus]
name = "Plexus Mesh"
base_url = {}
wire_api = "responses"

[model_providers.plexus.auth]
command = "cat"
args = [{}]
)",
                                  text_literal(connection.model), context_of(connection, connection.model),
                                  text_literal(connection.url + "/v1"), text_literal(connection.token_file.string()));
    return {.file = std::filesystem::path(folder) / "plexus.config.toml",
            .snippet = text,
            .then = {"codex --profile plexus"}};
}

/// A settings file beside the person's own, so that Claude Code without it goes on as before.
ToolPlan plan_claude_code(Connection const& connection, Places const& places, Paths const&, Environment const&)
{
    auto const file = places.home / ".claude" / "plexus.settings.json";
    auto const settings = json::object{{"apiKeyHelper", "cat " + shell_quoted(connection.token_file.string())},
                                       {"env", json::object{{"ANTHROPIC_BASE_URL", connection.url},
                                                            {"ANTHROPIC_MODEL", connection.model},
                                                            {"ANTHROPIC_DEFAULT_HAIKU_MODEL", connection.model},
                                                            {"ANTHROPIC_SMALL_FAST_MODEL", connection.model},
                                                            {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"}}}};
    return {
        .file = file, .snippet = pretty(settings) + "\n", .then = {"claude --settings " + shell_quoted(file.string())}};
}

ToolPlan plan_opencode(Connection const& connection, Places const& places, Paths const&, Environment const&)
{
    auto models = json::object{};
    for (auto const& model : connection.models) {
        auto const context = context_of(connection, model.id);
        models[model.id] = json::object{{"name", model.id},
                                        {"limit", json::object{{"context", context}, {"output", context}}}};
    }
    auto const provider = json::object{
        {"npm", "@ai-sdk/openai-compatible"},
        {"name", "Plexus Mesh"},
        {"options", json::object{{"baseURL", connection.url + "/v1"},
                                 {"apiKey", fmt::format("{{file:{}}}", connection.token_file.string())}}},
        {"models", std::move(models)}};
    return {.way = ToolPlan::Way::json_member,
            .file = places.config / "opencode" / "opencode.json",
            .snippet = pretty(provider),
            .path = {"provider", "plexus"},
            .then = {"opencode --model " + shell_quoted("plexus/" + connection.model)}};
}

/// It takes settings from its environment at its first start alone. Unless told, it listens to the whole network, and who
/// comes first is its administrator.
ToolPlan plan_open_webui(Connection const& connection, Places const&, Paths const& paths, Environment const&)
{
    auto const file = paths.config_file.parent_path() / "open-webui.env";
    auto const text = fmt::format(
        "# Written by plexus connect open-webui\n"
        "OPENAI_API_BASE_URL={}\nOPENAI_API_KEY={}\nENABLE_OLLAMA_API=false\n",
        connection.url + "/v1", connection.token);
    return {.file = file,
            .snippet = text,
            .then = {fmt::format("set -a; . {}; set +a; open-webui serve --host 127.0.0.1", shell_quoted(file.string())),
                     fmt::format("If it has run before, add {} and the key in its settings, under Connections.",
                                 connection.url + "/v1")}};
}

ToolPlan plan_continue(Connection const& connection, Places const& places, Paths const&, Environment const&)
{
    auto text = std::string(
        "# Written by plexus connect continue\nname: Plexus Mesh\nversion: 1.0.0\nschema: v1\nmodels:\n");
    for (auto const& model : connection.models) {
        text += fmt::format(
            "  - name: {0}\n    provider: openai\n    model: {0}\n    apiBase: {1}\n    apiKey: {2}\n"
            "    roles: [chat, edit, apply]\n",
            text_literal(model.id), text_literal(connection.url + "/v1"), text_literal(connection.token));
    }
    return {.file = places.home / ".continue" / "agents" / "plexus.yaml",
            .snippet = text,
            .then = {"Choose the agent \"Plexus Mesh\" in Continue."}};
}

ToolPlan plan_zed(Connection const& connection, Places const& places, Paths const&, Environment const&)
{
    auto models = json::array{};
    for (auto const& model : connection.models) {
        models.emplace_back(json::object{{"name", model.id},
                                         {"display_name", model.id},
                                         {"max_tokens", context_of(connection, model.id)},
                                         {"capabilities", json::object{{"tools", true}, {"images", false}}}});
    }
    auto const provider = json::object{{"api_url", connection.url + "/v1"}, {"available_models", std::move(models)}};
    return {.way = ToolPlan::Way::json_member,
            .file = places.config / "zed" / "settings.json",
            .snippet = pretty(provider),
            .path = {"language_models", "openai_compatible", "Plexus"},
            .then = {fmt::format("PLEXUS_API_KEY=\"$(cat {})\" zed", shell_quoted(connection.token_file.string()))}};
}

ToolPlan plan_vscode(Connection const& connection, Places const& places, Paths const&, Environment const&)
{
    auto models = json::array{};
    for (auto const& model : connection.models) {
        auto const context = context_of(connection, model.id);
        models.emplace_back(json::object{{"id", model.id},
                                         {"name", model.id},
                                         {"url", connection.url + "/v1/chat/completions"},
                                         {"toolCalling", true},
                                         {"vision", false},
                                         {"maxInputTokens", context},
                                         {"maxOutputTokens", context}});
    }
    auto const group = json::object{{"name", "Plexus Mesh"},
                                    {"vendor", "customendpoint"},
                                    {"apiType", "chat-completions"},
                                    {"apiKey", connection.token},
                                    {"models", std::move(models)}};
    return {.way = ToolPlan::Way::json_element,
            .file = places.config / "Code" / "User" / "chatLanguageModels.json",
            .snippet = pretty(group),
            .then = {"Choose a model of \"Plexus Mesh\" in the model picker of the chat."}};
}

constexpr auto entries = std::array{
    Entry{{"codex", "Codex CLI"}, plan_codex},
    Entry{{"claude-code", "Claude Code"}, plan_claude_code},
    Entry{{"opencode", "OpenCode"}, plan_opencode},
    Entry{{"open-webui", "Open WebUI"}, plan_open_webui},
    Entry{{"continue", "Continue"}, plan_continue},
    Entry{{"zed", "Zed"}, plan_zed},
    Entry{{"vscode", "Visual Studio Code"}, plan_vscode},
};

}  // namespace

std::vector<Tool> const& connectable_tools()
{
    static auto const tools = [] {
        auto made = std::vector<Tool>{};
        for (auto const& entry : entries) {
            made.push_back(entry.tool);
        }
        return made;
    }();
    return tools;
}

Result<ToolPlan> plan_connection(std::string_view name, Connection const& connection, Paths const& paths,
                                 Environment const& environment)
{
    auto const found = std::ranges::find_if(entries, [&](Entry const& entry) { return entry.tool.name == name; });
    PLEXUS_ASSERT(found != entries.end());
    auto const home = environment("HOME");
    if (!home) {
        return fail(ErrorKind::not_found, "HOME is not set");
    }
    auto places = Places{*home, std::filesystem::path(*home) / ".config"};
    if (auto const config = environment("XDG_CONFIG_HOME")) {
        places.config = *config;
    }
    return found->plan(connection, places, paths, environment);
}

}  // namespace plexus::cli
