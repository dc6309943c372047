#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "models/manifest.h"
#include "models/partial.h"

namespace plexus::models {

struct ImportProgress {
    enum class Stage { checking, copying };
    Stage stage = Stage::checking;
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
};

/// The models of this device: files kept by the digest of their bytes, each with a manifest.
///
/// A model is there whole or not at all: bytes are written to a temporary name, made durable, and renamed; the manifest
/// comes last and is what counts. What an interrupted import left, and files without a manifest, are removed when the store
/// is opened; partial models stay for a while.
/// Layout: sha256/ab/cdef….gguf, manifests/abcdef….json, pieces/abcdef…, partial/.
class Store {
public:
    /// Damaged manifests are logged and left alone. Errors: `io`, `not_allowed`.
    static Result<std::unique_ptr<Store>> open(Env& env, std::filesystem::path folder);

    /// By name, in alphabetical order.
    std::vector<Model> list() const;
    /// By name or by digest, "sha256:" in front allowed; null if there is none. Valid until the store changes.
    Model const* find(std::string_view name_or_digest) const;

    /// Takes a file in, by hard link where the file system allows it, else as a copy; the file itself stays as it is.
    /// An empty name is made from the file's. Importing the same bytes again gives the model that is there. The first of
    /// several shards stands for all, which lie beside it and are joined (models/shards.h).
    /// `progress` is called on the loop until the task ends. Errors: `not_found`, `not_allowed`, `malformed` (no usable
    /// GGUF file, or it changed meanwhile), `conflict` (name taken, or the bytes are there under another one),
    /// `out_of_space`, `io`.
    Task<Result<Model>> import_file(std::filesystem::path file, std::string name,
                                    std::function<void(ImportProgress)> progress);

    /// Takes the shards of a model in as one file. `name` is usable and free. Errors: as import_file.
    Task<Result<Model>> import_shards(std::vector<std::shared_ptr<File const>> shards, std::string name,
                                      std::string origin, std::function<void(ImportProgress)> progress);

    /// Begins a model that comes in parts, or goes on with what is there of it. `progress` tells on the loop, until the
    /// task ends, how many bytes of that were found right. The store must outlive the partial.
    /// Errors: `conflict` if somebody is at it, else as Partial::open.
    Task<Result<std::unique_ptr<Partial>>> begin(Incoming incoming, Partial::Progress progress);
    /// Goes on with what is there under the key. Errors: `not_found`, else as begin.
    Task<Result<std::unique_ptr<Partial>>> resume(PartialKey key, Partial::Progress progress);
    /// Takes a complete partial in as a model. It is removed if its bytes are of no use (`malformed`), and if the model
    /// is here already, which is then the result; after `conflict` (name taken), `out_of_space` and `io` it stays.
    Task<Result<Model>> finish(std::shared_ptr<Partial> partial, std::string name, std::string origin);
    /// Errors: `malformed` for an unusable name, `conflict` if it is taken.
    Result<void> check_name(std::string const& name) const;

    /// Bytes that all models together may take, counted once each; 0: no limit but the disk. What is there stays.
    void set_quota(std::uint64_t bytes) { quota_bytes_ = bytes; }
    std::uint64_t quota_bytes() const { return quota_bytes_; }
    /// What the models take, with those on their way.
    std::uint64_t used_bytes() const;
    /// Errors: `out_of_space` if a model of that size would be over the quota.
    Result<void> check_quota(std::uint64_t size_bytes) const;

    /// Reads the whole file again. Errors: `not_found`, `malformed` if it is not what was imported, `io`.
    Task<Result<Model>> verify(std::string name_or_digest, std::function<void(ImportProgress)> progress);

    /// Removes a model and its file. Errors: `not_found`, `io`.
    Result<Model> remove(std::string_view name_or_digest);

    /// Where the model's bytes are.
    std::filesystem::path path_of(ModelDigest const& digest) const { return blob_path(digest); }

    /// The model's file, open; hashed again if it does not look as it did when it was hashed last.
    /// Errors: `not_found`, `malformed` if the bytes no longer match the digest, `io`.
    Task<Result<std::shared_ptr<File const>>> open_model(ModelDigest digest);

    /// How to check single pieces of the model; its file is read for it if that was not done before.
    /// Errors: as open_model, `too_large`.
    Task<Result<std::shared_ptr<PieceList const>>> pieces(ModelDigest digest);

    /// Called on the loop after a model was added or removed.
    void on_change(std::function<void()> action) { on_change_ = std::move(action); }

private:
    class Intake;

    Store(Env& env, std::filesystem::path folder) : env_(env), folder_(std::move(folder)) {}

    Result<void> prepare();
    void read_manifest_file(std::string const& name);
    std::filesystem::path blob_path(ModelDigest const& digest) const;
    std::filesystem::path manifest_path(ModelDigest const& digest) const;
    std::filesystem::path pieces_path(ModelDigest const& digest) const;
    Result<void> save(Model const& model);
    void save_pieces(PieceList const& list);
    void remove_stray_lists();
    void remove_stray_blobs();
    Task<Result<Model>> take_in(std::shared_ptr<File const> file, std::optional<std::filesystem::path> original,
                                std::string name, std::string origin, bool is_name_given,
                                std::function<void(ImportProgress)> progress);
    Result<Model> publish(std::filesystem::path const& file, Model model, Result<PieceList> const& pieces);
    Task<Result<std::shared_ptr<File const>>> hash_again(Model model, std::shared_ptr<File const> file,
                                                         std::function<void(std::uint64_t)> progress);

    Env& env_;
    std::filesystem::path folder_;
    std::uint64_t quota_bytes_ = 0;
    std::map<ModelDigest, Model> models_;
    std::shared_ptr<PartialLease::Held> partials_in_work_ = std::make_shared<PartialLease::Held>();
    std::function<void()> on_change_ = [] {};
};

}  // namespace plexus::models
