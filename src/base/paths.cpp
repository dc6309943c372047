#include "base/paths.h"

#include <cstdlib>

namespace plexus {

namespace {

/// The variable's folder if it is absolute, as the specification asks.
std::filesystem::path folder_or(Environment const& environment, std::string const& name, std::filesystem::path otherwise)
{
    auto const value = environment(name);
    return value && value->front() == '/' ? std::filesystem::path(*value) : std::move(otherwise);
}

}  // namespace

Environment process_environment()
{
    return [](std::string const& name) -> std::optional<std::string> {
        auto const* value = std::getenv(name.c_str());
        return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
    };
}

Result<Paths> find_paths(Environment const& environment)
{
    if (auto const moved = environment("PLEXUS_HOME")) {
        if (moved->front() != '/') {
            return fail(ErrorKind::malformed, "PLEXUS_HOME must be an absolute path, not {}", *moved);
        }
        auto const root = std::filesystem::path(*moved);
        return Paths{root / "config.toml", root / "data", root / "state", root / "cache", root / "plexus.sock"};
    }
    auto const home = environment("HOME");
    if (!home) {
        return fail(ErrorKind::not_found, "neither PLEXUS_HOME nor HOME is set");
    }
    auto const user = std::filesystem::path(*home);
    auto paths = Paths{};
    paths.config_file = folder_or(environment, "XDG_CONFIG_HOME", user / ".config") / "plexus" / "config.toml";
    paths.data = folder_or(environment, "XDG_DATA_HOME", user / ".local" / "share") / "plexus";
    paths.state = folder_or(environment, "XDG_STATE_HOME", user / ".local" / "state") / "plexus";
    paths.cache = folder_or(environment, "XDG_CACHE_HOME", user / ".cache") / "plexus";
    paths.socket = environment("XDG_RUNTIME_DIR") ? folder_or(environment, "XDG_RUNTIME_DIR", paths.state) / "plexus" /
                                                        "plexus.sock"
                                                  : paths.state / "plexus.sock";
    return paths;
}

}  // namespace plexus
