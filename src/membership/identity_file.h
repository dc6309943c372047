#pragma once

#include "base/env.h"
#include "crypto/keys.h"

namespace plexus::membership {

/// The device's signing key in `path` (64 hexadecimal digits of an Ed25519 seed); made, mode 0600, if there is none.
/// Errors: `not_allowed` if others may read or write it, with what to do; `malformed` if it holds no key; those of Disk.
Result<crypto::KeyPair> load_or_make_identity(Env& env, std::filesystem::path const& path);

}  // namespace plexus::membership
