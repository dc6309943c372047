#include "models/store.h"

#include "base/log.h"
#include "models/shards.h"
#include "models/source.h"

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

static_assert(piece_bytes % chunk_bytes == 0);

/// A GGUF file that an engine can run: a vocabulary alone is none.
Result<GgufSummary> check_model(File const& file)
{
    auto summary = check_gguf(file);
    if (summary && summary->tensors == 0) {
        return fail(ErrorKind::malformed, "the file holds a vocabulary and no model");
    }
    return summary;
}

/// Hashes a file step by step, writing what it reads to `copy` if there is one.
struct Reading {
    std::shared_ptr<File const> file;
    std::shared_ptr<WritableFile> copy;
    PieceHasher hasher;

    bool at_end() const { return hasher.hashed_bytes() >= file->size(); }

    Result<void> step()
    {
        auto chunk = Bytes(chunk_bytes);
        for (std::size_t count = 0; count < chunks_a_step && !at_end(); ++count) {
            auto const read = file->read_at(hasher.hashed_bytes(), chunk);
            if (!read) {
                return std::unexpected(read.error());
            }
            if (*read == 0) {
                return fail(ErrorKind::malformed, "the file became shorter while it was read");
            }
            auto const bytes = ByteView(chunk).first(*read);
            hasher.update(bytes);
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

Task<Result<void>> read_to_end(Env& env, std::shared_ptr<Reading> reading, std::function<void(std::uint64_t)> progress)
{
    while (!reading->at_end()) {
        auto const step = co_await run_on_pool(env, [reading] { return reading->step(); });
        if (!step) {
            co_return step;
        }
        progress(reading->hasher.hashed_bytes());
    }
    co_return Result<void>{};
}

/// What save_pieces() wrote.
Result<PieceList> read_pieces(Disk& disk, std::filesystem::path const& path, ModelDigest digest)
{
    auto const bytes = disk.read_file(path, max_piece_list_bytes + crypto::Digest32::size);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    auto const size = bytes->size() - std::min(bytes->size(), crypto::Digest32::size);
    auto const [body, sum] = std::pair(ByteView(*bytes).first(size), ByteView(*bytes).subspan(size));
    if (!std::ranges::equal(crypto::sha256(body).bytes(), sum)) {
        return fail(ErrorKind::malformed, "the list of pieces is damaged");
    }
    return PieceList::decode(digest, body);
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
    Result<std::shared_ptr<WritableFile>> begin(std::optional<std::filesystem::path> const& original,
                                                std::uint64_t size)
    {
        if (original && disk_.link(*original, path_)) {
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
    for (auto const* name : {"sha256", "manifests", "pieces", "partial"}) {
        if (auto made = disk.make_folders(folder_ / name, 0700); !made) {
            return made;
        }
    }
    tidy_partials(env_, folder_ / "partial");
    auto const manifests = disk.list(folder_ / "manifests");
    if (!manifests) {
        return std::unexpected(manifests.error());
    }
    for (auto const& name : *manifests) {
        read_manifest_file(name);
    }
    remove_stray_lists();
    remove_stray_blobs();
    return {};
}

/// A damaged manifest keeps its file, for somebody to look at.
void Store::remove_stray_blobs()
{
    auto& disk = env_.disk();
    auto const none = std::vector<std::string>{};
    for (auto const& start : disk.list(folder_ / "sha256").value_or(none)) {
        auto const folder = folder_ / "sha256" / start;
        for (auto const& name : disk.list(folder).value_or(none)) {
            auto const digest = ModelDigest::from_text(start + std::filesystem::path(name).stem().string());
            if (!digest || name != blob_path(*digest).filename() || disk.status(manifest_path(*digest))) {
                continue;
            }
            log::info("a file that no model names is removed", {{"file", (folder / name).string()}});
            std::ignore = disk.remove(folder / name);
        }
    }
}

std::uint64_t Store::used_bytes() const
{
    auto bytes = std::uint64_t{0};
    for (auto const& [digest, model] : models_) {
        bytes += model.size_bytes;
    }
    auto const folder = folder_ / "partial";
    for (auto const& name : env_.disk().list(folder).value_or(std::vector<std::string>{})) {
        auto const status = name.ends_with(".part") ? env_.disk().status(folder / name)
                                                    : Result<FileStatus>(FileStatus{});
        bytes += status ? status->size : 0;
    }
    return bytes;
}

Result<void> Store::check_quota(std::uint64_t size_bytes) const
{
    auto const used = used_bytes();
    if (quota_bytes_ > 0 && (used > quota_bytes_ || size_bytes > quota_bytes_ - used)) {
        return fail(ErrorKind::out_of_space,
                    "the model has {} MB; models.quota_gb leaves {} MB for all, of which {} MB are taken",
                    size_bytes >> 20, quota_bytes_ >> 20, used >> 20);
    }
    return {};
}

void Store::remove_stray_lists()
{
    for (auto const& name : env_.disk().list(folder_ / "pieces").value_or(std::vector<std::string>{})) {
        auto const digest = ModelDigest::from_text(name);
        if (!digest || !models_.contains(*digest)) {
            std::ignore = env_.disk().remove(folder_ / "pieces" / name);
        }
    }
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

std::filesystem::path Store::pieces_path(ModelDigest const& digest) const
{
    return folder_ / "pieces" / digest.text();
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

namespace {

/// The file, or its set of shards as one.
Result<std::shared_ptr<File const>> open_whole(Disk& disk, std::filesystem::path const& file)
{
    auto const shard = ShardName::parse(file.filename().string());
    auto shards = std::vector<std::shared_ptr<File const>>{};
    for (std::size_t number = 1; number <= (shard ? shard->count : 1); ++number) {
        auto opened = disk.open(shard ? file.parent_path() / shard->file(number) : file);
        if (!opened) {
            return std::unexpected(opened.error());
        }
        shards.push_back(std::move(*opened));
    }
    return shard ? join_shards(shards) : std::move(shards.front());
}

std::string import_name(std::filesystem::path const& file)
{
    auto const shard = ShardName::parse(file.filename().string());
    return name_from_file(shard ? std::filesystem::path(shard->base + ".gguf") : file);
}

}  // namespace

Task<Result<Model>> Store::import_file(std::filesystem::path file, std::string name,
                                       std::function<void(ImportProgress)> progress)
{
    auto const is_name_given = !name.empty();
    name = is_name_given ? name : import_name(file);
    if (is_name_given && !is_usable_name(name)) {
        co_return std::unexpected(check_name(name).error());
    }
    auto opened = open_whole(env_.disk(), file);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto const is_alone = !ShardName::parse(file.filename().string());
    co_return co_await take_in(std::move(*opened), is_alone ? std::optional(file) : std::nullopt, std::move(name),
                               file.filename().string(), is_name_given, std::move(progress));
}

Task<Result<Model>> Store::import_shards(std::vector<std::shared_ptr<File const>> shards, std::string name,
                                         std::string origin, std::function<void(ImportProgress)> progress)
{
    auto joined = co_await run_on_pool(env_, [shards] { return join_shards(shards); });
    if (!joined) {
        co_return std::unexpected(joined.error());
    }
    co_return co_await take_in(std::move(*joined), std::nullopt, std::move(name), std::move(origin), true,
                               std::move(progress));
}

/// `original`: the file itself, if it may be linked.
Task<Result<Model>> Store::take_in(std::shared_ptr<File const> file, std::optional<std::filesystem::path> original,
                                   std::string name, std::string origin, bool is_name_given,
                                   std::function<void(ImportProgress)> progress)
{
    auto const size = file->size();
    if (auto const fits = check_quota(size); !fits) {
        co_return std::unexpected(fits.error());
    }
    auto reading = std::make_shared<Reading>();
    reading->file = file;
    auto summary = co_await run_on_pool(env_, [file] { return check_model(*file); });
    if (!summary) {
        co_return fail(summary.error().kind, "{} cannot be used: {}", origin, summary.error().text);
    }
    auto random = env_.random("models").bytes(16);
    auto intake = Intake(env_, folder_ / "partial" / to_hex(random));
    auto copy = intake.begin(original, size);
    if (!copy) {
        co_return std::unexpected(copy.error());
    }
    reading->copy = *copy;
    auto const stage = *copy ? ImportProgress::Stage::copying : ImportProgress::Stage::checking;
    auto const watched = *copy && original ? *original : intake.path();
    auto const before = *copy && !original ? Result<Fingerprint>({}) : fingerprint_of(env_.disk(), watched);
    auto report = [&](std::uint64_t done) { progress({.stage = stage, .done_bytes = done, .total_bytes = size}); };
    auto const hashed = co_await read_to_end(env_, reading, report);
    if (!hashed) {
        co_return std::unexpected(hashed.error());
    }
    auto const after = *copy && !original ? Result<Fingerprint>({}) : fingerprint_of(env_.disk(), watched);
    if (!before || before != after) {
        co_return fail(ErrorKind::malformed, "{} changed while it was imported", origin);
    }

    auto const [digest, pieces] = reading->hasher.finish();
    auto model = Model{.digest = digest,
                       .name = std::move(name),
                       .size_bytes = size,
                       .added = env_.wall_now(),
                       .origin = std::move(origin),
                       .summary = std::move(*summary),
                       .verified = {}};
    if (auto const known = models_.find(digest); known != models_.end()) {
        if (is_name_given && model.name != known->second.name) {
            co_return fail(ErrorKind::conflict, "this model is here already, as {}", known->second.name);
        }
        co_return known->second;
    }
    co_return publish(intake.path(), std::move(model), pieces);
}

Task<Result<std::unique_ptr<Partial>>> Store::begin(Incoming incoming, Partial::Progress progress)
{
    auto lease = PartialLease::take(partials_in_work_, incoming.key);
    if (!lease) {
        co_return fail(ErrorKind::conflict, "this model is being fetched already");
    }
    auto const data = folder_ / "partial" / (incoming.key.text() + ".part");
    auto const is_begun = env_.disk().status(data).has_value();
    if (auto const fits = check_quota(is_begun ? 0 : incoming.size_bytes); !fits) {
        co_return std::unexpected(fits.error());
    }
    co_return co_await Partial::open(env_, folder_ / "partial", std::move(incoming), std::move(lease),
                                     std::move(progress));
}

Task<Result<std::unique_ptr<Partial>>> Store::resume(PartialKey key, Partial::Progress progress)
{
    auto incoming = Partial::find(env_.disk(), folder_ / "partial", key);
    if (!incoming) {
        co_return fail(ErrorKind::not_found, "nothing of this model is here");
    }
    co_return co_await begin(std::move(*incoming), std::move(progress));
}

Task<Result<Model>> Store::finish(std::shared_ptr<Partial> partial, std::string name, std::string origin)
{
    auto const pieces = partial->whole();
    auto opened = env_.disk().open(partial->data_path());
    auto const synced = co_await partial->sync();
    if (!opened || !synced) {
        co_return std::unexpected(opened ? synced.error() : opened.error());
    }
    auto const file = std::shared_ptr<File const>(std::move(*opened));
    auto summary = pieces ? co_await run_on_pool(env_, [file] { return check_model(*file); })
                          : Result<GgufSummary>(std::unexpected(pieces.error()));
    if (!summary) {
        if (summary.error().kind != ErrorKind::io) {
            partial->discard();
        }
        co_return fail(summary.error().kind, "{} cannot be used: {}", name, summary.error().text);
    }
    if (auto const known = models_.find(pieces->digest()); known != models_.end()) {
        partial->discard();
        co_return known->second;
    }
    auto model = Model{.digest = pieces->digest(),
                       .name = std::move(name),
                       .size_bytes = pieces->size_bytes(),
                       .added = env_.wall_now(),
                       .origin = std::move(origin),
                       .summary = std::move(*summary),
                       .verified = {}};
    auto published = publish(partial->data_path(), std::move(model), pieces);
    if (published) {
        partial->discard();
    }
    co_return published;
}

/// Moves the file into its place, by a second name at first where that is possible: until the manifest is there it can
/// still be found under the old one.
Result<Model> Store::publish(std::filesystem::path const& file, Model model, Result<PieceList> const& pieces)
{
    if (auto named = check_name(model.name); !named) {
        return std::unexpected(named.error());
    }
    auto& disk = env_.disk();
    auto const blob = blob_path(model.digest);
    auto done = disk.make_folders(blob.parent_path(), 0700);
    std::ignore = disk.remove(blob);  // without a manifest it is what a crash left
    auto const linked = done && disk.link(file, blob);
    if (done && !linked) {
        done = disk.rename(file, blob);
    }
    if (done) {
        done = disk.sync_folder(blob.parent_path());
    }
    auto const fingerprint = fingerprint_of(disk, blob);
    if (done && fingerprint) {
        model.verified = *fingerprint;
        done = save(model);
    }
    if (!done || !fingerprint) {
        std::ignore = linked ? disk.remove(blob) : disk.rename(blob, file);
        return std::unexpected(done ? fingerprint.error() : done.error());
    }
    if (pieces) {
        save_pieces(*pieces);
    }
    models_.emplace(model.digest, model);
    on_change_();
    return model;
}

/// Without it the list is made when it is asked for.
void Store::save_pieces(PieceList const& list)
{
    auto bytes = list.encode();
    append(bytes, crypto::sha256(bytes).bytes());
    std::ignore = env_.disk().write_file(pieces_path(list.digest()), bytes, 0600);
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
    std::ignore = env_.disk().remove(pieces_path(model.digest));
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
    auto const model = found->second;
    auto const path = blob_path(digest);
    auto opened = env_.disk().open(path);
    if (!opened) {
        co_return fail(opened.error().kind, "the file of the model {} cannot be opened: remove it and import it again",
                       model.name);
    }
    auto file = std::shared_ptr<File const>(std::move(*opened));
    if (fingerprint_of(env_.disk(), path) == model.verified) {
        co_return file;
    }
    co_return co_await hash_again(model, std::move(file), [](std::uint64_t) {});
}

Task<Result<Model>> Store::verify(std::string name_or_digest, std::function<void(ImportProgress)> progress)
{
    auto const* found = find(name_or_digest);
    if (found == nullptr) {
        co_return fail(ErrorKind::not_found, "there is no model {} on this device", name_or_digest);
    }
    auto const model = *found;
    auto opened = env_.disk().open(blob_path(model.digest));
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto report = [&](std::uint64_t done) {
        progress({.stage = ImportProgress::Stage::checking, .done_bytes = done, .total_bytes = model.size_bytes});
    };
    auto const hashed = co_await hash_again(model, std::shared_ptr<File const>(std::move(*opened)), report);
    if (!hashed) {
        co_return std::unexpected(hashed.error());
    }
    co_return model;
}

/// Gives the file back if it is still the model's.
Task<Result<std::shared_ptr<File const>>> Store::hash_again(Model model, std::shared_ptr<File const> file,
                                                            std::function<void(std::uint64_t)> progress)
{
    auto const present = fingerprint_of(env_.disk(), blob_path(model.digest));
    auto reading = std::make_shared<Reading>();
    reading->file = file;
    auto const hashed = co_await read_to_end(env_, reading, std::move(progress));
    auto const [actual, pieces] = reading->hasher.finish();
    if (!hashed || actual != model.digest) {
        co_return fail(ErrorKind::malformed, "the file of the model {} was changed: remove it and import it again",
                       model.name);
    }
    if (auto const again = models_.find(model.digest); again != models_.end() && present) {
        again->second.verified = *present;
        std::ignore = save(again->second);
        if (pieces) {
            save_pieces(*pieces);
        }
    }
    co_return file;
}

Task<Result<std::shared_ptr<PieceList const>>> Store::pieces(ModelDigest digest)
{
    auto file = co_await open_model(digest);
    if (!file) {
        co_return std::unexpected(file.error());
    }
    auto list = read_pieces(env_.disk(), pieces_path(digest), digest);
    if (!list) {
        auto const model = models_.find(digest);
        if (model == models_.end()) {
            co_return fail(ErrorKind::not_found, "the model {} is not on this device", digest.text().substr(0, 12));
        }
        auto const hashed = co_await hash_again(model->second, std::move(*file), [](std::uint64_t) {});
        if (!hashed) {
            co_return std::unexpected(hashed.error());
        }
        list = read_pieces(env_.disk(), pieces_path(digest), digest);
    }
    co_return transform(std::move(list),
                        [](PieceList got) { return std::make_shared<PieceList const>(std::move(got)); });
}

}  // namespace plexus::models
