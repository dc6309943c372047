#include "models/store.h"

#include "base/log.h"

namespace plexus::models {

namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::size_t chunks_a_step = 32;  // between two reports of progress

Result<Fingerprint> fingerprint_of(Disk& disk, std::filesystem::path const& path)
{
    return transform(disk.status(path), [](FileStatus const& status) {
        return Fingerprint{.inode = status.inode, .size = status.size, .modified = status.modified};
    });
}

std::string_view without_scheme(std::string_view digest)
{
    constexpr auto scheme = std::string_view("sha256:");
    return digest.starts_with(scheme) ? digest.substr(scheme.size()) : digest;
}

/// Hashes a file step by step, writing what it reads to `copy` if there is one.
struct Reading {
    std::shared_ptr<File const> file;
    std::shared_ptr<WritableFile> copy;
    crypto::Sha256 hash;
    std::uint64_t offset = 0;

    bool at_end() const { return offset >= file->size(); }

    Result<void> step()
    {
        auto chunk = Bytes(chunk_bytes);
        for (std::size_t count = 0; count < chunks_a_step && !at_end(); ++count) {
            auto const read = file->read_at(offset, chunk);
            if (!read) {
                return std::unexpected(read.error());
            }
            if (*read == 0) {
                return fail(ErrorKind::malformed, "the file became shorter while it was read");
            }
            auto const bytes = ByteView(chunk).first(*read);
            hash.update(bytes);
            offset += *read;
            if (!copy) {
                continue;
            }
            if (auto written = copy->write(bytes); !written) {
                return written;
            }
        }
        return copy && at_end() ? copy->sync() : Result<void>{};
    }
};

Task<Result<ModelDigest>> read_to_end(Env& env, std::shared_ptr<Reading> reading,
                                      std::function<void(std::uint64_t)> progress)
{
    while (!reading->at_end()) {
        auto const step = co_await run_on_pool(env, [reading] { return reading->step(); });
        if (!step) {
            co_return std::unexpected(step.error());
        }
        progress(reading->offset);
    }
    co_return reading->hash.finish();
}

}  // namespace

/// A file on its way into the store. What was not published is removed.
class Store::Intake {
public:
    Intake(Env& env, std::filesystem::path path) : disk_(env.disk()), path_(std::move(path)) {}
    Intake(Intake const&) = delete;
    ~Intake() { std::ignore = disk_.remove(path_); }

    std::filesystem::path const& path() const { return path_; }

    /// Links `original`, or makes an empty copy to be filled. Errors: `out_of_space`, `io`.
    Result<std::shared_ptr<WritableFile>> begin(std::filesystem::path const& original, std::uint64_t size)
    {
        if (disk_.link(original, path_)) {
            return nullptr;
        }
        auto const room = disk_.free_bytes(path_.parent_path());
        if (room && *room < size + spare_bytes) {
            return fail(ErrorKind::out_of_space, "the model has {} MB and the disk has {} MB free", size >> 20, *room >> 20);
        }
        return transform(disk_.create(path_, 0600),
                         [](auto file) { return std::shared_ptr<WritableFile>(std::move(file)); });
    }

private:
    Disk& disk_;
    std::filesystem::path path_;
};

Result<std::unique_ptr<Store>> Store::open(Env& env, std::filesystem::path folder)
{
    auto store = std::unique_ptr<Store>(new Store(env, std::move(folder)));
    if (auto prepared = store->prepare(); !prepared) {
        return std::unexpected(prepared.error());
    }
    return store;
}

Result<void> Store::prepare()
{
    auto& disk = env_.disk();
    for (auto const* name : {"sha256", "manifests", "partial"}) {
        if (auto made = disk.make_folders(folder_ / name, 0700); !made) {
            return made;
        }
    }
    auto const partial = disk.list(folder_ / "partial");
    for (auto const& name : partial.value_or(std::vector<std::string>{})) {
        std::ignore = disk.remove(folder_ / "partial" / name);
    }
    auto const manifests = disk.list(folder_ / "manifests");
    if (!manifests) {
        return std::unexpected(manifests.error());
    }
    for (auto const& name : *manifests) {
        read_manifest_file(name);
    }
    return {};
}

void Store::read_manifest_file(std::string const& name)
{
    if (!name.ends_with(".json")) {
        return;  // what an interrupted write left
    }
    auto const path = folder_ / "manifests" / name;
    auto const model = and_then(env_.disk().read_file(path, max_manifest_bytes),
                                [](Bytes const& bytes) { return read_manifest(as_text(bytes)); });
    if (!model || manifest_path(model->digest) != path) {
        auto const why = model ? std::string("it names another model") : model.error().text;
        log::warning("a model's manifest is damaged; import the model again", {{"file", path.string()}, {"why", why}});
        return;
    }
    if (auto const status = env_.disk().status(blob_path(model->digest)); !status) {
        log::warning("a model's file is missing; import the model again", {{"model", model->name}});
        return;
    }
    models_.emplace(model->digest, *model);
}

std::filesystem::path Store::blob_path(ModelDigest const& digest) const
{
    auto const text = digest.text();
    return folder_ / "sha256" / text.substr(0, 2) / (text.substr(2) + ".gguf");
}

std::filesystem::path Store::manifest_path(ModelDigest const& digest) const
{
    return folder_ / "manifests" / (digest.text() + ".json");
}

std::vector<Model> Store::list() const
{
    auto list = std::vector<Model>{};
    for (auto const& [digest, model] : models_) {
        list.push_back(model);
    }
    std::ranges::sort(list, {}, &Model::name);
    return list;
}

Model const* Store::find(std::string_view name_or_digest) const
{
    auto const digest = ModelDigest::from_text(without_scheme(name_or_digest));
    for (auto const& [key, model] : models_) {
        if (model.name == name_or_digest || (digest && key == *digest)) {
            return &model;
        }
    }
    return nullptr;
}

Result<void> Store::check_name(std::string const& name) const
{
    if (!is_usable_name(name)) {
        return fail(ErrorKind::malformed,
                    "'{}' is no name for a model: use up to {} letters, digits and . _ : / -, beginning with a letter or digit",
                    name, max_name_bytes);
    }
    if (find(name) != nullptr) {
        return fail(ErrorKind::conflict, "there is a model {} already: choose another name, or remove that one first", name);
    }
    return {};
}

Task<Result<Model>> Store::import_file(std::filesystem::path file, std::string name,
                                       std::function<void(ImportProgress)> progress)
{
    auto const is_name_given = !name.empty();
    name = is_name_given ? name : name_from_file(file);
    if (is_name_given && !is_usable_name(name)) {
        co_return std::unexpected(check_name(name).error());
    }
    auto opened = env_.disk().open(file);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto reading = std::make_shared<Reading>();
    reading->file = std::move(*opened);
    auto const size = reading->file->size();
    auto summary = co_await run_on_pool(env_, [source = reading->file] { return check_gguf(*source); });
    if (!summary) {
        co_return fail(summary.error().kind, "{} cannot be used: {}", file.filename().string(), summary.error().text);
    }
    if (summary->tensors == 0) {
        co_return fail(ErrorKind::malformed, "{} holds a vocabulary and no model", file.filename().string());
    }

    auto random = env_.random("models").bytes(16);
    auto intake = Intake(env_, folder_ / "partial" / to_hex(random));
    auto copy = intake.begin(file, size);
    if (!copy) {
        co_return std::unexpected(copy.error());
    }
    reading->copy = *copy;
    auto const stage = *copy ? ImportProgress::Stage::copying : ImportProgress::Stage::checking;
    auto const before = fingerprint_of(env_.disk(), *copy ? file : intake.path());
    auto report = [&](std::uint64_t done) { progress({.stage = stage, .done_bytes = done, .total_bytes = size}); };
    auto const digest = co_await read_to_end(env_, reading, report);
    if (!digest) {
        co_return std::unexpected(digest.error());
    }
    auto const after = fingerprint_of(env_.disk(), *copy ? file : intake.path());
    if (!before || before != after) {
        co_return fail(ErrorKind::malformed, "{} changed while it was imported", file.filename().string());
    }

    auto model = Model{.digest = *digest,
                       .name = std::move(name),
                       .size_bytes = size,
                       .added = env_.wall_now(),
                       .origin = file.filename().string(),
                       .summary = std::move(*summary),
                       .verified = {}};
    if (auto const known = models_.find(*digest); known != models_.end()) {
        if (is_name_given && model.name != known->second.name) {
            co_return fail(ErrorKind::conflict, "this model is here already, as {}", known->second.name);
        }
        co_return known->second;
    }
    co_return publish(intake, std::move(model));
}

Result<Model> Store::publish(Intake& intake, Model model)
{
    if (auto named = check_name(model.name); !named) {
        return std::unexpected(named.error());
    }
    auto const blob = blob_path(model.digest);
    auto done = env_.disk().make_folders(blob.parent_path(), 0700);
    if (done) {
        done = env_.disk().rename(intake.path(), blob);
    }
    if (done) {
        done = env_.disk().sync_folder(blob.parent_path());
    }
    auto const fingerprint = fingerprint_of(env_.disk(), blob);
    if (done && fingerprint) {
        model.verified = *fingerprint;
        done = save(model);
    }
    if (!done || !fingerprint) {
        std::ignore = env_.disk().remove(blob);
        return std::unexpected(done ? fingerprint.error() : done.error());
    }
    models_.emplace(model.digest, model);
    on_change_();
    return model;
}

Result<void> Store::save(Model const& model)
{
    auto const text = write_manifest(model);
    return env_.disk().write_file(manifest_path(model.digest), as_view(text), 0600);
}

Result<Model> Store::remove(std::string_view name_or_digest)
{
    auto const* found = find(name_or_digest);
    if (found == nullptr) {
        return fail(ErrorKind::not_found, "there is no model {} on this device", name_or_digest);
    }
    auto const model = *found;
    if (auto removed = env_.disk().remove(manifest_path(model.digest)); !removed) {
        return std::unexpected(removed.error());
    }
    std::ignore = env_.disk().remove(blob_path(model.digest));
    models_.erase(model.digest);
    on_change_();
    return model;
}

Task<Result<std::shared_ptr<File const>>> Store::open_model(ModelDigest digest)
{
    auto const found = models_.find(digest);
    if (found == models_.end()) {
        co_return fail(ErrorKind::not_found, "the model {} is not on this device", digest.text().substr(0, 12));
    }
    auto const name = found->second.name;
    auto const verified = found->second.verified;
    auto const path = blob_path(digest);
    auto opened = env_.disk().open(path);
    if (!opened) {
        co_return fail(opened.error().kind, "the file of the model {} cannot be opened: remove it and import it again",
                       name);
    }
    auto file = std::shared_ptr<File const>(std::move(*opened));
    auto const present = fingerprint_of(env_.disk(), path);
    if (present && *present == verified) {
        co_return file;
    }
    auto reading = std::make_shared<Reading>();
    reading->file = file;
    auto const actual = co_await read_to_end(env_, reading, [](std::uint64_t) {});
    if (!actual || *actual != digest) {
        co_return fail(ErrorKind::malformed, "the file of the model {} was changed: remove it and import it again", name);
    }
    if (auto const again = models_.find(digest); again != models_.end() && present) {
        again->second.verified = *present;
        std::ignore = save(again->second);
    }
    co_return file;
}

}  // namespace plexus::models
