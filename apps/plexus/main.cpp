#include <iostream>

#include <CLI/CLI.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/serialize.hpp>

#include "base/nearest.h"
#include "commands.h"
#include "connect_tools.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr auto exit_codes_help = R"(Exit codes of plexus:
    0  done
    1  failed
    2  usage: the command line is wrong, or an answer was needed and there is no terminal
    3  the daemon is not running
    4  not found
    5  not allowed
    6  no device can do it
    7  another device or the network failed
    8  timed out
    9  conflict with what is there
   10  partly done
  130  interrupted
)";

using Command = std::function<Task<Outcome<>>(Context&)>;

std::vector<CLI::App*> subcommands(CLI::App& of)
{
    return of.get_subcommands([](CLI::App* each) { return !each->get_name().empty(); });  // groups of options have none
}

CLI::App* subcommand(CLI::App& of, std::string const& name)
{
    auto const all = subcommands(of);
    auto const found = std::ranges::find_if(all, [&](auto* each) { return each->check_name(name); });
    return found == all.end() ? nullptr : *found;
}

std::vector<std::string> names_of(std::vector<CLI::App*> const& commands)
{
    auto names = std::vector<std::string>{};
    for (auto const* each : commands) {
        names.push_back(each->get_name());
    }
    return names;
}

/// "plexus device ls".
std::string full_name(CLI::App& of)
{
    auto* const parent = of.get_parent();
    return parent == nullptr ? of.get_name() : full_name(*parent) + " " + of.get_name();
}

std::unexpected<Failure> unknown_command(CLI::App& of, std::string const& word)
{
    auto const meant = nearest(word, names_of(subcommands(of)));
    return failed(ExitCode::usage, "usage", fmt::format("There is no command '{}'.", word),
                  meant.empty() ? "" : fmt::format("did you mean '{}'?", meant),
                  meant.empty() ? full_name(of) + " --help" : full_name(of) + " " + meant);
}

std::unexpected<Failure> unknown_argument(CLI::App& of, std::string const& word)
{
    auto flags = std::vector<std::string>{};
    for (auto* app = &of; app != nullptr; app = app->get_parent()) {
        for (auto const* option : app->get_options()) {
            if (!option->get_lnames().empty()) {
                flags.push_back("--" + option->get_lnames().front());
            }
        }
    }
    auto const meant = word.starts_with('-') ? nearest(word.substr(0, word.find('=')), flags) : std::string();
    return failed(ExitCode::usage, "usage", fmt::format("'{}' does not take '{}'.", full_name(of), word),
                  meant.empty() ? "" : fmt::format("did you mean '{}'?", meant), full_name(of) + " --help");
}

/// The command line: what can be typed, and what then runs.
class CommandLine {
public:
    CommandLine();

    /// Nothing if `arguments` were answered here (help); otherwise `options` and `command` are set.
    std::optional<Outcome<>> parse(std::vector<std::string> arguments);

    Options options;
    Command command = overview;

private:
    CLI::App* add(CLI::App& parent, std::string const& name, std::string const& summary,
                  std::vector<std::string> const& examples, Command run);
    void add_global_flags();
    void add_daemon_commands();
    void add_talking_commands();
    void add_mesh_commands();
    void add_model_commands();
    void add_engine_commands();
    void add_connect_command();
    void add_model_keeping(CLI::App& model);
    void add_help();
    std::optional<Outcome<>> help();
    void print_help(CLI::App& of);
    CLI::App& chosen();
    Outcome<> not_understood(CLI::ParseError const& error);

    CLI::App app_{"Plexus joins your own devices into one private mesh that runs language models.", "plexus"};
    std::map<CLI::App*, std::vector<std::string>> examples_;
    UpOptions up_;
    AskOptions ask_;
    InviteOptions invite_;
    ImportOptions import_;
    RemoveOptions remove_;
    ConnectOptions connect_;
    PinOptions pin_;
    DraftOptions draft_;
    ExternalEngineOptions external_;
    std::string engine_;
    PullOptions pull_;
    PlanOptions plan_;
    RouteOptions route_;
    std::string model_;
    std::vector<std::string> words_;
    CopyOptions copy_;
    std::string link_;
    std::vector<std::string> topic_;
    bool wants_help_ = false;
};

CommandLine::CommandLine()
{
    examples_[&app_] = {"plexus up", "plexus model import FILE.gguf", "plexus ask \"Name three colours\"",
                        "plexus invite"};
    app_.require_subcommand(0, 1);
    app_.set_version_flag("--version", "plexus " PLEXUS_VERSION);
    add_global_flags();
    add_daemon_commands();
    add_talking_commands();
    add_mesh_commands();
    add_model_commands();
    add_engine_commands();
    add_connect_command();
    add_help();
}

void CommandLine::add_global_flags()
{
    app_.add_flag("--json", options.json, "Print one JSON document, or JSON Lines for streams");
    app_.add_flag("-q,--quiet", options.quiet, "Print results and errors only");
    app_.add_flag("--no-color", options.no_color, "Print without colours");
    app_.add_option("--color", options.color, "When to print colours")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    app_.add_option("--socket", options.socket, "The daemon's Unix socket");
    app_.add_option("--timeout", options.timeout_seconds, "Give up after this many seconds")->check(CLI::PositiveNumber);
}

CLI::App* CommandLine::add(CLI::App& parent, std::string const& name, std::string const& summary,
                           std::vector<std::string> const& examples, Command run)
{
    auto* const added = parent.add_subcommand(name, summary);
    added->fallthrough();
    examples_[added] = examples;
    if (run) {
        added->callback([this, run = std::move(run)] { command = run; });
    } else {
        added->require_subcommand(1);
    }
    return added;
}

void CommandLine::add_daemon_commands()
{
    auto* const up = add(app_, "up", "Start the daemon in the background", {"plexus up", "plexus up --port 8000"},
                         [this](Context& context) { return bring_up(context, up_); });
    up->add_option("--port", up_.port, "Port of the API on this device");
    add(app_, "down", "End the daemon", {"plexus down"}, bring_down);
    auto* const foreground = add(app_, "serve", "Run the daemon in the foreground", {"plexus serve"},
                                 [this](Context& context) { return serve(context, up_); });
    foreground->add_option("--port", up_.port, "Port of the API on this device");
    add(app_, "status", "Show this device and its mesh", {"plexus status", "plexus status --json"}, show_status);
    add(app_, "doctor", "Check this device and say what to do", {"plexus doctor"}, doctor);
    add(app_, "version", "Show the versions", {"plexus version"}, show_version);
}

void CommandLine::add_talking_commands()
{
    auto const add_model_options = [this](CLI::App& to) {
        to.add_option("--system", ask_.system, "Instructions for the model");
        to.add_option("--temperature", ask_.temperature, "0 (always the same) to 2");
        to.add_option("--seed", ask_.seed, "Seed of the sampling");
        to.add_option("--max-tokens", ask_.max_tokens, "Longest answer");
    };
    auto* const once = add(app_, "ask", "Ask one question; standard input joins it",
                           {"plexus ask \"Name three colours\"", "cat notes.txt | plexus ask \"Summarise this\""},
                           [this](Context& context) { return ask(context, ask_); });
    once->add_option("-m,--model", ask_.model, "The model to ask");
    once->add_option("text", ask_.words, "The question; - for standard input alone");
    add_model_options(*once);
    auto* const talk = add(app_, "chat", "Talk with a model", {"plexus chat", "plexus chat MODEL"},
                           [this](Context& context) { return chat(context, ask_); });
    talk->alias("run");
    talk->add_option("model", ask_.model, "The model to talk with");
    add_model_options(*talk);
}

void CommandLine::add_mesh_commands()
{
    auto* const inviting = add(app_, "invite", "Let another device of yours in", {"plexus invite", "plexus invite --ttl 10m"},
                               [this](Context& context) { return invite(context, invite_); });
    inviting->add_option("--ttl", invite_.ttl, "How long it is valid: 90s, 5m, 1h");
    inviting->add_option("--role", invite_.role, "member: use the mesh; owner: also let others in")
        ->check(CLI::IsMember({"owner", "member"}));
    inviting->add_flag("--qr", invite_.qr, "Print the QR code in any case");
    inviting->add_flag("--no-wait", invite_.no_wait, "Do not wait for the device");
    auto* const joining = add(app_, "join", "Join the mesh of the device that shows a link or a code",
                              {"plexus join 'plexus://join/...'", "plexus join 482-913"},
                              [this](Context& context) { return join(context, link_); });
    joining->add_option("link", link_, "What plexus invite printed: the link, or the six digits")->required();
    auto* const device = add(app_, "device", "The devices of the mesh", {"plexus device ls"}, nullptr);
    add(*device, "ls", "List the devices", {"plexus device ls", "plexus device ls --json"}, list_devices);
    auto* const revoking = add(*device, "revoke", "Remove a device from the mesh, at once and everywhere",
                               {"plexus device revoke phone"},
                               [this](Context& context) { return revoke_device(context, remove_); });
    add(*device, "pause", "Take no more tasks of other devices here", {"plexus device pause"},
        [](Context& context) { return pause_device(context, true); });
    add(*device, "resume", "Take tasks of other devices here again", {"plexus device resume"},
        [](Context& context) { return pause_device(context, false); });
    revoking->add_option("device", remove_.name, "Its name or id")->required();
    revoking->add_flag("-y,--yes", remove_.yes, "Do not ask");
}

void CommandLine::add_model_commands()
{
    auto* const model = add(app_, "model", "The models of the mesh", {"plexus model ls"}, nullptr);
    add(*model, "ls", "List the models", {"plexus model ls", "plexus model ls --json"}, list_models);
    auto* const importing = add(*model, "import", "Take a GGUF file into this device's store",
                                {"plexus model import FILE.gguf", "plexus model import FILE.gguf --name tiny",
                                 "plexus model import --from ollama", "plexus model import --from lm-studio NAME"},
                                [this](Context& context) { return import_model(context, import_); });
    importing->add_option("file", import_.what,
                          "The file, which stays where it is; with --from the names of models there");
    importing->add_option("--name", import_.name, "Its name; default is that of the file");
    importing->add_option("--from", import_.from, "Take models from another program's folder; alone it lists them")
        ->check(CLI::IsMember({"ollama", "lm-studio"}));
    importing->add_option("--folder", import_.folder, "That folder; default is the usual one")->needs("--from");
    auto* const copying = add(*model, "copy", "Copy a model of the mesh to this device; again after a break: goes on",
                              {"plexus model copy tiny", "plexus model copy tiny --from nas"},
                              [this](Context& context) { return copy_model(context, copy_); });
    copying->add_option("model", copy_.model, "Name or digest")->required();
    copying->add_option("--from", copy_.from, "The one device to copy from; default is all that hold it");
    copying->add_option("--name", copy_.name, "Its name here; default is the same");
    auto* const removing = add(*model, "rm", "Remove a model from this device", {"plexus model rm tiny --yes"},
                               [this](Context& context) { return remove_model(context, remove_); });
    removing->add_option("name", remove_.name, "Name or digest")->required();
    removing->add_flag("-y,--yes", remove_.yes, "Do not ask");
    add(*model, "ps", "List the models in memory on this device", {"plexus model ps"}, list_engines);
    add(*model, "load", "Bring a model into memory", {"plexus model load tiny"},
        [this](Context& context) { return load_model(context, engine_); })
        ->add_option("name", engine_, "Name or digest")
        ->required();
    add(*model, "unload", "Take a model out of memory", {"plexus model unload tiny"},
        [this](Context& context) { return unload_model(context, engine_); })
        ->add_option("name", engine_, "Name or digest")
        ->required();
    auto* const pinning = add(*model, "pin", "Keep a model in memory",
                              {"plexus model pin tiny", "plexus model pin tiny --off"},
                              [this](Context& context) { return pin_model(context, pin_); });
    pinning->add_option("name", pin_.name, "Name or digest")->required();
    pinning->add_flag("--off", pin_.off, "No longer");
    auto* const drafting = add(*model, "draft", "Let a small model guess tokens for a large one of the same vocabulary",
                               {"plexus model draft qwen3-8b qwen3-0.6b", "plexus model draft qwen3-8b none"},
                               [this](Context& context) { return set_draft(context, draft_); });
    drafting->add_option("model", draft_.model, "Name or digest of the model that answers")->required();
    drafting->add_option("draft", draft_.draft, "Name or digest of the one that guesses, or none")->required();
    auto* const route = add(app_, "route", "Where tasks go", {"plexus route explain tiny"}, nullptr);
    auto* const explaining = add(*route, "explain", "Say where a question would be answered, how soon, and why",
                                 {"plexus route explain tiny", "plexus route explain tiny --prompt-tokens 8000"},
                                 [this](Context& context) { return explain_route(context, route_); });
    explaining->add_option("model", route_.model, "Name or digest of a model of the mesh")->required();
    explaining->add_option("--prompt-tokens", route_.prompt_tokens,
                           "Of the question; default is as usual for the model");
    explaining->add_option("--output-tokens", route_.output_tokens, "Of the answer; default is as usual for the model");
    auto* const bench = add(app_, "bench", "Measure this device", {"plexus bench model", "plexus bench model tiny"},
                            nullptr);
    add(*bench, "model", "Measure how fast models read and answer", {"plexus bench model", "plexus bench model tiny"},
        [this](Context& context) { return measure_models(context, engine_); })
        ->add_option("name", engine_, "Name or digest; default is each chat model here");
    add_model_keeping(*model);
}

void CommandLine::add_model_keeping(CLI::App& model)
{
    auto* const pulling = add(model, "pull", "Fetch a model; again after a break: goes on",
                              {"plexus model pull qwen3-4b", "plexus model pull hf:org/repo/file.gguf",
                               "plexus model pull https://models.example/file.gguf --sha256 DIGEST"},
                              [this](Context& context) { return pull_model(context, pull_); });
    pulling->add_option("source", pull_.source, "A name of the list, hf:org/repo/file.gguf[@revision], or an address")
        ->required();
    pulling->add_option("--name", pull_.name, "Its name; default is that of the list or the file");
    pulling->add_option("--sha256", pull_.sha256, "The digest that it must have");
    auto* const searching = add(model, "search", "Look for models in the mesh and in the list",
                                {"plexus model search", "plexus model search code"},
                                [this](Context& context) { return search_models(context, words_); });
    searching->add_option("words", words_, "Words of the name, title, kind or licence");
    auto* const showing = add(model, "show", "Show what is known of a model of this device", {"plexus model show tiny"},
                              [this](Context& context) { return cli::show_model(context, model_); });
    showing->add_option("name", model_, "Name or digest")->required();
    auto* const verifying = add(model, "verify", "Read a model's file again and compare its digest",
                                {"plexus model verify tiny"},
                                [this](Context& context) { return cli::verify_model(context, model_); });
    verifying->add_option("name", model_, "Name or digest")->required();
    auto* const planning = add(model, "plan", "Say how much memory a model needs, and which device has it",
                               {"plexus model plan qwen3-8b", "plexus model plan tiny --context 8192 --slots 1"},
                               [this](Context& context) { return plan_model(context, plan_); });
    planning->add_option("model", plan_.model, "A model of this device or of the list")->required();
    planning->add_option("--context", plan_.context, "Tokens of one answer; default is that of this device");
    planning->add_option("--slots", plan_.slots, "Answers at a time; default is that of this device");
}

void CommandLine::add_engine_commands()
{
    auto* const engine = add(app_, "engine", "Servers that you run yourself, as engines of the mesh",
                             {"plexus engine add http://127.0.0.1:8000"}, nullptr);
    auto* const adding = add(*engine, "add",
                             "Use an OpenAI-compatible server: vLLM, SGLang, Ollama, LM Studio, llama-server",
                             {"plexus engine add http://127.0.0.1:11434",
                              "plexus engine add https://gpu.lan:8000 --token-file ~/vllm-token"},
                             [this](Context& context) { return add_external_engine(context, external_); });
    adding->add_option("url", external_.url, "Its address; /v1 at the end may be left out")->required();
    adding->add_option("--token-file", external_.token_file, "The file that holds the token that it wants");
    add(*engine, "ls", "List them with their models", {"plexus engine ls", "plexus engine ls --json"},
        list_external_engines);
    add(*engine, "test", "Ask one for its models now", {"plexus engine test http://127.0.0.1:8000"},
        [this](Context& context) { return test_external_engine(context, external_.url); })
        ->add_option("url", external_.url, "Its address")
        ->required();
    add(*engine, "rm", "No longer use one", {"plexus engine rm http://127.0.0.1:8000"},
        [this](Context& context) { return remove_external_engine(context, external_.url); })
        ->add_option("url", external_.url, "Its address")
        ->required();
}

void CommandLine::add_connect_command()
{
    auto* const connecting = add(
        app_, "connect", "Tell another program of yours to use this device",
        {"plexus connect codex", "plexus connect opencode --write", "plexus connect opencode --undo"},
        [this](Context& context) { return connect_tool(context, connect_); });
    auto names = std::vector<std::string>{};
    for (auto const& tool : connectable_tools()) {
        names.emplace_back(tool.name);
    }
    connecting->add_option("tool", connect_.tool, "The program")->required()->check(CLI::IsMember(names));
    connecting->add_option("-m,--model", connect_.model, "The model to begin with");
    auto* const way = connecting->add_option_group("way");
    way->add_flag("--print", connect_.print, "Show what would be written; the default");
    way->add_flag("--write", connect_.write, "Write it");
    way->add_flag("--undo", connect_.undo, "Take it out again");
    way->require_option(0, 1);
}

void CommandLine::add_help()
{
    auto* const helping = app_.add_subcommand("help", "Explain a command, or exit-codes");
    helping->add_option("topic", topic_, "A command, or exit-codes");
    examples_[helping] = {"plexus help ask", "plexus help exit-codes"};
    helping->callback([this] { wants_help_ = true; });
}

void CommandLine::print_help(CLI::App& of)
{
    if (auto const& examples = examples_[&of]; !examples.empty()) {
        std::cout << "Examples:\n";
        for (auto const& example : examples) {
            std::cout << "  " << example << '\n';
        }
        std::cout << '\n';
    }
    std::cout << of.help(of.get_parent() == nullptr ? "" : full_name(*of.get_parent()));
}

std::optional<Outcome<>> CommandLine::help()
{
    if (topic_ == std::vector<std::string>{"exit-codes"}) {
        std::cout << exit_codes_help;
        return Outcome<>{};
    }
    auto* current = &app_;
    for (auto const& word : topic_) {
        auto* const next = subcommand(*current, word);
        if (next == nullptr) {
            return unknown_command(*current, word);
        }
        current = next;
    }
    app_.clear();
    print_help(*current);
    return Outcome<>{};
}

/// The command as far as it was understood.
CLI::App& CommandLine::chosen()
{
    auto* current = &app_;
    while (!current->get_subcommands().empty()) {
        current = current->get_subcommands().front();
    }
    return *current;
}

Outcome<> CommandLine::not_understood(CLI::ParseError const& error)
{
    auto& at = chosen();
    auto const names = names_of(subcommands(at));
    auto const left = app_.remaining(true);
    auto const is_flag = [](std::string const& word) { return word.starts_with('-'); };
    auto const word = std::ranges::find_if_not(left, is_flag);
    if (!names.empty() && word != left.end()) {
        return unknown_command(at, *word);
    }
    if (!left.empty()) {
        return unknown_argument(at, left.front());
    }
    if (&at != &app_ && !names.empty()) {
        return failed(ExitCode::usage, "usage", fmt::format("'{}' is not complete.", full_name(at)),
                      fmt::format("it needs one of: {}", fmt::join(names, ", ")), full_name(at) + " --help");
    }
    return failed(ExitCode::usage, "usage", fmt::format("{}.", error.what()), "", full_name(at) + " --help");
}

std::optional<Outcome<>> CommandLine::parse(std::vector<std::string> arguments)
{
    auto const wants_json = std::ranges::find(arguments, "--json") != arguments.end();
    std::ranges::reverse(arguments);  // as CLI11 wants them
    try {
        app_.parse(arguments);
    } catch (CLI::CallForHelp const&) {
        print_help(chosen());
        return Outcome<>{};
    } catch (CLI::CallForVersion const& version) {
        std::cout << version.what() << '\n';
        return Outcome<>{};
    } catch (CLI::ParseError const& error) {
        // CLI11 knows flags only after it has parsed; a script that wants JSON gets its error in JSON all the same.
        options.json = options.json || wants_json;
        return not_understood(error);
    }
    if (wants_help_) {
        return help();
    }
    return std::nullopt;
}

int finish(Terminal& terminal, Outcome<> const& outcome)
{
    if (outcome) {
        return static_cast<int>(ExitCode::done);
    }
    terminal.report(outcome.error());
    return static_cast<int>(outcome.error().exit);
}

/// The one command of this run, and the word that it is over, however it ended.
struct Run {
    explicit Run(Executor executor) : changed(executor) {}
    std::optional<Outcome<>> outcome;
    bool is_over = false;
    Signal changed;
};

Task<> run_command(Context& context, Command const& command, Run& run)
{
    struct AtEnd {
        explicit AtEnd(Run& ended) : ended_run(ended) {}
        ~AtEnd()
        {
            ended_run.is_over = true;
            ended_run.changed.notify();
        }
        Run& ended_run;
    };
    auto const at_end = AtEnd(run);
    run.outcome = co_await command(context);
}

int run_line(CommandLine& line, Terminal& terminal)
{
    auto paths = find_paths(process_environment());
    if (!paths) {
        return finish(terminal, failed(ExitCode::usage, "usage", "There is no place for the daemon's files.",
                                       paths.error().text, "export PLEXUS_HOME=/some/folder"));
    }
    if (!line.options.socket.empty()) {
        paths->socket = line.options.socket;
    }
    auto env = RealEnv();
    auto const timeout =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(line.options.timeout_seconds));
    auto client = Client(env, paths->socket, timeout);
    auto context = Context{env, *paths, line.options, terminal, client, {}};
    auto state = Run(env.executor());
    auto tasks = TaskScope(env.executor());
    context.on_interrupt = [&tasks] { tasks.cancel(); };
    env.on_termination([&context] { context.on_interrupt(); });
    auto conduct = [&]() -> Task<> {
        tasks.spawn("command", run_command(context, line.command, state));
        while (!state.is_over) {
            co_await state.changed.wait();
        }
        co_await tasks.join();
        env.stop();
    };
    asio::co_spawn(env.executor(), conduct(), asio::detached);
    env.run();
    terminal.clear_progress();
    return state.outcome ? finish(terminal, *state.outcome) : static_cast<int>(ExitCode::interrupted);
}

}  // namespace

void Context::print_document(std::string_view name, json::value data)
{
    auto document = json::object{{"schema", fmt::format("plexus.{}/1", name)}, {"data", std::move(data)}};
    terminal.line(json::serialize(document));
}

int run_main(std::vector<std::string> arguments)
{
    auto line = CommandLine();
    auto const answered = line.parse(std::move(arguments));
    auto terminal = Terminal(line.options);
    if (answered) {
        return finish(terminal, *answered);
    }
    return run_line(line, terminal);
}

}  // namespace plexus::cli

int main(int count, char** arguments)
{
    try {
        return plexus::cli::run_main({arguments + 1, arguments + count});
    } catch (std::exception const& error) {
        std::cerr << "error: plexus failed.\n  why: " << error.what() << '\n';
        return 1;
    }
}
