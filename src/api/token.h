#pragma once

#include <filesystem>

#include "base/env.h"

namespace plexus::api {

/// The API token in `path`; made (32 random bytes, mode 0600) if there is none.
/// Errors: `not_allowed` if others may read the file; `malformed` if it holds no token; those of Disk.
Result<std::string> load_or_make_token(Env& env, std::filesystem::path const& path);

}  // namespace plexus::api
