#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "models/manifest.h"

namespace plexus::models {

/// Space that an import leaves free on the disk.
inline constexpr std::uint64_t spare_bytes = 64ULL << 20;

struct ImportProgress {
    enum class Stage { checking, copying };
    Stage stage = Stage::checking;
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
};

/// The models of this device: files kept by the digest of their bytes, each with a manifest.
///
/// A model is there whole or not at all: bytes are written to a temporary name, made durable, and renamed; the manifest
/// comes last and is what counts. What an interrupted import left is removed when the store is opened.
/// Layout: sha256/ab/cdef….gguf, manifests/abcdef….json, partial/.
class Store {
public:
    /// Damaged manifests are logged and left alone. Errors: `io`, `not_allowed`.
    static Result<std::unique_ptr<Store>> open(Env& env, std::filesystem::path folder);

    /// By name, in alphabetical order.
    std::vector<Model> list() const;
    /// By name or by digest, "sha256:" in front allowed; null if there is none. Valid until the store changes.
    Model const* find(std::string_view name_or_digest) const;

    /// Takes a file in, by hard link where the file system allows it, else as a copy; the file itself stays as it is.
    /// An empty name is made from the file's. Importing the same bytes again gives the model that is there.
    /// `progress` is called on the loop until the task ends. Errors: `not_found`, `not_allowed`, `malformed` (no usable
    /// GGUF file, or it changed meanwhile), `conflict` (name taken, or the bytes are there under another one),
    /// `out_of_space`, `io`.
    Task<Result<Model>> import_file(std::filesystem::path file, std::string name,
                                    std::function<void(ImportProgress)> progress);

    /// Removes a model and its file. Errors: `not_found`, `io`.
    Result<Model> remove(std::string_view name_or_digest);

    /// The model's file, open; hashed again if it does not look as it did when it was hashed last.
    /// Errors: `not_found`, `malformed` if the bytes no longer match the digest, `io`.
    Task<Result<std::shared_ptr<File const>>> open_model(ModelDigest digest);

    /// Called on the loop after a model was added or removed.
    void on_change(std::function<void()> action) { on_change_ = std::move(action); }

private:
    class Intake;

    Store(Env& env, std::filesystem::path folder) : env_(env), folder_(std::move(folder)) {}

    Result<void> prepare();
    void read_manifest_file(std::string const& name);
    std::filesystem::path blob_path(ModelDigest const& digest) const;
    std::filesystem::path manifest_path(ModelDigest const& digest) const;
    Result<void> save(Model const& model);
    Result<Model> publish(Intake& intake, Model model);
    Result<void> check_name(std::string const& name) const;

    Env& env_;
    std::filesystem::path folder_;
    std::map<ModelDigest, Model> models_;
    std::function<void()> on_change_ = [] {};
};

}  // namespace plexus::models
