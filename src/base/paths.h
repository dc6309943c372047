#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"

namespace plexus {

/// Where a device keeps its things. `PLEXUS_HOME` moves all of it, so that several devices can live on one host;
/// otherwise the folders of the XDG Base Directory Specification are used.
struct Paths {
    std::filesystem::path config_file;
    std::filesystem::path data;   ///< identity, membership, models
    std::filesystem::path state;  ///< API token, log, lock
    std::filesystem::path cache;
    std::filesystem::path socket;  ///< of the local API

    std::filesystem::path api_token() const { return state / "api-token"; }
    std::filesystem::path log_file() const { return state / "plexusd.log"; }
    std::filesystem::path lock_file() const { return state / "plexusd.lock"; }
};

/// Gives the value of an environment variable; nothing if it is unset or empty.
using Environment = std::function<std::optional<std::string>(std::string const& name)>;

/// The environment of this process.
Environment process_environment();

/// Errors: `not_found` if neither PLEXUS_HOME nor HOME is set; `malformed` for a relative PLEXUS_HOME.
Result<Paths> find_paths(Environment const& environment);

}  // namespace plexus
