#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/env.h"
#include "crypto/digest.h"

namespace plexus::models {

inline constexpr std::size_t max_foreign_models = 4096;
inline constexpr std::size_t max_foreign_manifest_bytes = 256 * 1024;

/// A model in the folder of another program. It can be imported by its path; nothing there is ever changed.
struct ForeignModel {
    std::string name;                         ///< usable
    std::filesystem::path path{};             ///< of the file, or of the first shard
    std::optional<crypto::Digest32> digest{};  ///< as that program knows it
    std::uint64_t size_bytes = 0;             ///< of all shards
    std::string problem{};                    ///< a sentence why it cannot be used; empty if it can
};

/// What a manifest of Ollama says of its model layer. Errors: `malformed`, with the reason in words.
struct OllamaLayer {
    crypto::Digest32 digest;
    std::uint64_t size_bytes = 0;
};
Result<OllamaLayer> read_ollama_manifest(std::string_view text);

/// The models of an Ollama folder: manifests/HOST/NAMESPACE/NAME/TAG and blobs/sha256-…. Blocks.
/// Errors: `not_found` (no such folder, or not one of Ollama), `not_allowed`, `io`.
Result<std::vector<ForeignModel>> find_ollama_models(Disk& disk, std::filesystem::path const& folder);

/// The models of an LM Studio folder: PUBLISHER/REPOSITORY/FILE.gguf. Blocks. Errors: as above.
Result<std::vector<ForeignModel>> find_lm_studio_models(Disk& disk, std::filesystem::path const& folder);

}  // namespace plexus::models
