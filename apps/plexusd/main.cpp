// plexusd: the daemon of one device. People start it with `plexus up` or `plexus serve`.

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sys/stat.h>

#include <CLI/CLI.hpp>

#include "node/daemon.h"

namespace {

using namespace plexus;

constexpr auto exit_usage = 2;
constexpr std::streamsize max_config_bytes = 1 << 20;

struct Arguments {
    std::optional<std::uint16_t> port;
    std::string socket;
    bool shows_version = false;
};

int fail_with(node::Failure const& failure)
{
    std::cerr << "error: " << failure.what << '\n';
    std::cerr << "  why: " << failure.why << '\n';
    std::cerr << " next: " << failure.next << '\n';
    return EXIT_FAILURE;
}

Result<std::string> read_text(std::filesystem::path const& file)
{
    auto code = std::error_code{};
    if (auto const kind = std::filesystem::status(file, code).type(); kind == std::filesystem::file_type::not_found) {
        return std::string{};
    }
    auto stream = std::ifstream(file);
    auto text = std::string(static_cast<std::size_t>(max_config_bytes), '\0');
    stream.read(text.data(), max_config_bytes);
    if (stream.bad() || (!stream.eof() && stream.fail())) {
        return fail(ErrorKind::io, "{} cannot be read", file.string());
    }
    if (!stream.eof()) {
        return fail(ErrorKind::too_large, "{} has more than {} bytes", file.string(), max_config_bytes);
    }
    text.resize(static_cast<std::size_t>(stream.gcount()));
    return text;
}

int run(Arguments const& arguments)
{
    ::umask(0077);
    std::signal(SIGPIPE, SIG_IGN);  // whoever read the log may go
    auto paths = find_paths(process_environment());
    if (!paths) {
        return fail_with({"There is no place for this device's data.", paths.error().text, "export PLEXUS_HOME=/some/folder"});
    }
    if (!arguments.socket.empty()) {
        paths->socket = std::filesystem::absolute(arguments.socket);
    }
    auto const file = paths->config_file.string();
    auto config = and_then(read_text(paths->config_file), [&](std::string const& text) {
        return node::read_config(text, file, process_environment());
    });
    if (!config) {
        auto const is_of_file = config.error().text.starts_with(file);
        return fail_with({"The settings cannot be used.", config.error().text,
                          is_of_file ? "edit " + file : "give that variable another value, or unset it"});
    }
    if (arguments.port) {
        config->api.port = *arguments.port;
    }
    auto const failure = node::run_daemon({.paths = std::move(*paths), .config = std::move(*config)});
    return failure ? fail_with(*failure) : EXIT_SUCCESS;
}

}  // namespace

int main(int count, char** values)
{
    auto arguments = Arguments{};
    auto app = CLI::App{"The daemon of one Plexus device. Usually started with 'plexus up' or 'plexus serve'.", "plexusd"};
    app.add_option("--port", arguments.port, "Port of the API on 127.0.0.1; 0 picks a free one");
    app.add_option("--socket", arguments.socket, "Path of the local socket");
    app.add_flag("--version", arguments.shows_version, "Print the version");
    try {
        app.parse(count, values);
    } catch (CLI::ParseError const& problem) {
        return app.exit(problem) == 0 ? EXIT_SUCCESS : exit_usage;
    }
    if (arguments.shows_version) {
        std::cout << "plexusd " PLEXUS_VERSION "\n";
        return EXIT_SUCCESS;
    }
    return run(arguments);
}
