#pragma once

#include "models/gguf.h"
#include "models/pieces.h"

namespace plexus::models {

inline constexpr std::size_t max_manifest_bytes = 64 * 1024;
inline constexpr std::size_t max_name_bytes = 128;

/// Which bytes were hashed. While a file still looks like this, it is taken to hold them still.
struct Fingerprint {
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    WallTime modified{};

    bool operator==(Fingerprint const&) const = default;
};

/// A model of the store.
struct Model {
    ModelDigest digest;  ///< SHA-256 of the file
    std::string name;    ///< unique in the store
    std::uint64_t size_bytes = 0;
    WallTime added{};
    std::string origin;  ///< where it came from, for people
    GgufSummary summary;
    Fingerprint verified;
};

/// A name that clients can use: 1 to max_name_bytes letters, digits and "._:/-", beginning with a letter or digit.
bool is_usable_name(std::string_view name);

/// The usable name nearest to that of a file ("My Model.gguf" gives "My-Model").
std::string name_from_file(std::filesystem::path const& file);

/// One JSON object.
std::string write_manifest(Model const& model);

/// Errors: `malformed`.
Result<Model> read_manifest(std::string_view text);

}  // namespace plexus::models
