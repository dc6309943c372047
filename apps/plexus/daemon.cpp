#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "commands.h"

// Starting and ending the daemon. The only part of the command line that touches processes.

namespace plexus::cli {

namespace {

constexpr auto start_patience = std::chrono::seconds(30);
constexpr auto stop_patience = std::chrono::seconds(15);
constexpr auto poll_interval = std::chrono::milliseconds(20);

/// plexusd beside this program, else on the PATH.
std::filesystem::path daemon_program()
{
    auto code = std::error_code{};
    auto const self = std::filesystem::read_symlink("/proc/self/exe", code);
    auto const beside = self.parent_path() / "plexusd";
    return !code && std::filesystem::exists(beside, code) ? beside : std::filesystem::path("plexusd");
}

std::vector<std::string> daemon_arguments(Context const& context, UpOptions const& options)
{
    auto arguments = std::vector<std::string>{daemon_program().string()};
    if (options.port) {
        arguments.push_back("--port");
        arguments.push_back(std::to_string(*options.port));
    }
    if (!context.options.socket.empty()) {
        arguments.push_back("--socket");
        arguments.push_back(context.options.socket);
    }
    return arguments;
}

std::vector<char*> pointers(std::vector<std::string>& arguments)
{
    auto list = std::vector<char*>{};
    for (auto& argument : arguments) {
        list.push_back(argument.data());
    }
    list.push_back(nullptr);
    return list;
}

/// Starts the daemon in a session of its own, its words going to `log`. Gives the process id, or an errno below 0.
int start_in_background(std::vector<std::string> arguments, int log)
{
    auto files = posix_spawn_file_actions_t{};
    auto attributes = posix_spawnattr_t{};
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    auto process = pid_t{};
    auto const list = pointers(arguments);
    auto const error = ::posix_spawnp(&process, list[0], &files, &attributes, list.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
    return error == 0 ? process : -error;
}

/// True while a daemon lives: it keeps its lock file locked to its end.
bool is_locked(std::filesystem::path const& file)
{
    auto const descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    auto const taken = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ::close(descriptor);
    return taken;
}

std::string text_after(std::filesystem::path const& file, std::streamoff place)
{
    auto stream = std::ifstream(file);
    stream.seekg(place);
    return {std::istreambuf_iterator<char>(stream), {}};
}

/// The three lines with which a daemon that cannot start explains itself, if `text` ends with them.
std::optional<Failure> failure_at_end(std::string_view text)
{
    auto failure = Failure{ExitCode::failed, "daemon_failed", "", "", ""};
    auto rest = text.substr(std::min(text.rfind("error: "), text.size()));
    auto const labels = std::array{std::pair{"error: ", &failure.what}, std::pair{"  why: ", &failure.why},
                                   std::pair{" next: ", &failure.next}};
    for (auto const& [label, value] : labels) {
        auto const line = take_line(rest);
        if (!line.starts_with(label)) {
            return std::nullopt;
        }
        *value = line.substr(std::string_view(label).size());
    }
    return rest.empty() ? std::optional(std::move(failure)) : std::nullopt;
}

Failure failure_in_log(std::string const& text, std::filesystem::path const& log)
{
    return failure_at_end(text).value_or(Failure{ExitCode::failed, "daemon_failed",
                                                 "The daemon ended while it was starting.",
                                                 fmt::format("see {}", log.string()), "plexus serve"});
}

Task<bool> is_ready(Context& context)
{
    auto const answer = co_await context.client.get("/readyz");
    co_return answer.has_value();
}

/// `asked_port`: what a daemon that runs already should have been started with.
Task<Outcome<>> report_running(Context& context, bool was_running, std::optional<std::uint16_t> asked_port)
{
    auto status = co_await context.client.get("/api/v1/status");
    if (!status) {
        co_return std::unexpected(status.error());
    }
    auto& data = status->as_object();
    auto const port = data.at("api_port").to_number<int>();
    if (was_running && asked_port.value_or(0) != 0 && *asked_port != port) {
        co_return failed(ExitCode::conflict, "conflict", fmt::format("Plexus is already running, on port {}.", port),
                         "a port is taken when the daemon starts",
                         fmt::format("plexus down, then plexus up --port {}", *asked_port));
    }
    auto const url = fmt::format("http://127.0.0.1:{}/v1", port);
    if (context.options.json) {
        data["already_running"] = was_running;
        data["api_url"] = url;
        data["api_token_file"] = context.paths.api_token().string();
        context.print_document("up", data);
        co_return Outcome<>{};
    }
    auto& terminal = context.terminal;
    terminal.say(fmt::format("Plexus {} on {}.", was_running ? "is already running" : "is running",
                             std::string_view(data.at("device").as_string())));
    terminal.say(fmt::format("  API    {}", url));
    terminal.say(fmt::format("  Token  {}", context.paths.api_token().string()));
    auto const has_models = data.at("models").to_number<int>() > 0;
    terminal.say(fmt::format("  Next   {}", has_models ? "plexus ask \"Name three colours\"" : "plexus model import FILE.gguf"));
    co_return Outcome<>{};
}

Task<Outcome<>> wait_until_ready(Context& context, int process, std::streamoff log_place)
{
    auto const limit = context.options.timeout_seconds > 0
                           ? std::chrono::duration_cast<Duration>(
                                 std::chrono::duration<double>(context.options.timeout_seconds))
                           : Duration(start_patience);
    auto const deadline = context.env.deadline_in(limit);
    while (!deadline.passed(context.env.now())) {
        if (co_await is_ready(context)) {
            co_return Outcome<>{};
        }
        auto status = 0;
        if (::waitpid(process, &status, WNOHANG) == process) {
            auto const log = context.paths.log_file();
            co_return std::unexpected(failure_in_log(text_after(log, log_place), log));
        }
        co_await sleep_for(context.env, poll_interval);
    }
    co_return failed(ExitCode::timed_out, "timed_out", "The daemon is not ready yet.",
                     fmt::format("see {}", context.paths.log_file().string()), "plexus status");
}

}  // namespace

Task<Outcome<>> bring_up(Context& context, UpOptions options)
{
    if (co_await is_ready(context)) {
        co_return co_await report_running(context, true, options.port);
    }
    constexpr unsigned private_folder = 0700;
    auto const path = context.paths.log_file();
    auto const made = context.env.disk().make_folders(path.parent_path(), private_folder);
    auto const log = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!made || log < 0) {
        co_return failed(ExitCode::failed, "daemon_failed", "The daemon's log cannot be written.",
                         made ? fmt::format("{}: {}", path.string(), std::strerror(errno)) : made.error().text,
                         "set PLEXUS_HOME to a folder that is yours");
    }
    auto const place = static_cast<std::streamoff>(::lseek(log, 0, SEEK_END));
    auto const process = start_in_background(daemon_arguments(context, options), log);
    ::close(log);
    if (process < 0) {
        co_return failed(ExitCode::failed, "daemon_failed", "The daemon could not be started.",
                         fmt::format("{}: {}", daemon_program().string(), std::strerror(-process)),
                         "install plexusd beside plexus");
    }
    auto const ready = co_await wait_until_ready(context, process, place);
    if (!ready) {
        co_return ready;
    }
    co_return co_await report_running(context, false, options.port);
}

std::optional<Failure> last_start_failure(Paths const& paths)
{
    constexpr auto tail = std::streamoff{4096};
    auto code = std::error_code{};
    auto const size = static_cast<std::streamoff>(std::filesystem::file_size(paths.log_file(), code));
    return code ? std::nullopt : failure_at_end(text_after(paths.log_file(), std::max(size - tail, std::streamoff{0})));
}

Task<Outcome<>> serve(Context& context, UpOptions options)
{
    auto arguments = daemon_arguments(context, options);
    auto const list = pointers(arguments);
    ::execvp(list[0], list.data());
    co_return failed(ExitCode::failed, "daemon_failed", "The daemon could not be started.",
                     fmt::format("{}: {}", arguments[0], std::strerror(errno)), "install plexusd beside plexus");
}

Task<Outcome<>> bring_down(Context& context)
{
    auto const status = co_await context.client.get("/api/v1/status");
    if (!status && status.error().exit == ExitCode::no_daemon) {
        if (context.options.json) {
            context.print_document("down", boost::json::object{{"was_running", false}});
        }
        context.terminal.say("Plexus was not running.");
        co_return Outcome<>{};
    }
    if (!status) {
        co_return std::unexpected(status.error());
    }
    auto const asked = co_await context.client.post("/api/v1/shutdown", boost::json::object{});
    if (!asked && asked.error().exit != ExitCode::no_daemon) {
        co_return std::unexpected(asked.error());
    }
    auto const deadline = context.env.deadline_in(stop_patience);
    while (is_locked(context.paths.lock_file())) {
        if (deadline.passed(context.env.now())) {
            co_return failed(ExitCode::timed_out, "timed_out", "The daemon is still stopping.",
                             fmt::format("it holds {}", context.paths.lock_file().string()), "plexus status");
        }
        co_await sleep_for(context.env, poll_interval);
    }
    if (context.options.json) {
        context.print_document("down", boost::json::object{{"was_running", true}});
    }
    context.terminal.say("Plexus is down.");
    co_return Outcome<>{};
}

}  // namespace plexus::cli
