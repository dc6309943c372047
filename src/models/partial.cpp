#include "models/partial.h"

#include <algorithm>

#include "base/log.h"
#include "base/reader.h"

namespace plexus::models {

using crypto::Digest32;
using crypto::Sha256;

namespace {

constexpr auto meta_magic = std::string_view("plexpart");
constexpr std::uint8_t has_digest = 1;
constexpr std::uint8_t has_list = 2;
constexpr std::size_t max_meta_bytes = 128 + max_piece_list_bytes;

struct Meta {
    WallTime used{};
    std::uint64_t size_bytes = 0;
    std::optional<ModelDigest> digest{};
    std::optional<PieceList> pieces{};
};

Bytes encode_meta(Meta const& meta)
{
    auto bytes = to_bytes(meta_magic);
    bytes.resize(meta_magic.size() + 17);
    store_big_endian(bytes.data() + 8, static_cast<std::uint64_t>(meta.used.time_since_epoch().count()));
    store_big_endian(bytes.data() + 16, meta.size_bytes);
    store_big_endian(bytes.data() + 24,
                     static_cast<std::uint8_t>((meta.digest ? has_digest : 0) | (meta.pieces ? has_list : 0)));
    if (meta.digest) {
        append(bytes, meta.digest->bytes());
    }
    if (meta.pieces) {
        append(bytes, meta.pieces->encode());
    }
    append(bytes, crypto::sha256(bytes).bytes());
    return bytes;
}

/// The body is what its checksum says, so we wrote it.
Result<Meta> read_body(ByteView body)
{
    auto reader = BoundedReader(body);
    auto const magic = reader.take(meta_magic.size());
    auto const used = reader.take_big_endian<std::uint64_t>();
    auto const size = reader.take_big_endian<std::uint64_t>();
    auto const flags = reader.take_big_endian<std::uint8_t>();
    if (!flags || as_text(*magic) != meta_magic) {
        return fail(ErrorKind::malformed, "of another version");
    }
    auto meta = Meta{.used = WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(*used))),
                     .size_bytes = *size};
    if ((*flags & has_digest) != 0) {
        auto const digest = and_then(reader.take(Digest32::size), Digest32::from_bytes);
        if (!digest) {
            return std::unexpected(digest.error());
        }
        meta.digest = *digest;
    }
    if ((*flags & has_list) != 0) {
        auto list = PieceList::decode(meta.digest.value_or(ModelDigest{}), reader.take_rest());
        if (!list) {
            return std::unexpected(list.error());
        }
        meta.pieces = std::move(*list);
    }
    return meta;
}

Result<Meta> read_meta(Disk& disk, std::filesystem::path const& path)
{
    auto const bytes = disk.read_file(path, max_meta_bytes);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    if (bytes->size() < Digest32::size) {
        return fail(ErrorKind::malformed, "too short");
    }
    auto const body = ByteView(*bytes).first(bytes->size() - Digest32::size);
    if (!std::ranges::equal(crypto::sha256(body).bytes(), ByteView(*bytes).subspan(body.size()))) {
        return fail(ErrorKind::malformed, "its checksum is wrong");
    }
    return read_body(body);
}

Result<std::shared_ptr<WritableFile>> open_or_create(Disk& disk, std::filesystem::path const& path)
{
    auto file = disk.open_to_write(path);
    if (!file && file.error().kind == ErrorKind::not_found) {
        file = disk.create(path, 0600);
    }
    return transform(std::move(file), [](auto opened) { return std::shared_ptr<WritableFile>(std::move(opened)); });
}

/// Puts bytes of a piece and the note of that piece to disk, in this order. On the pool.
Result<void> store(WritableFile& data, WritableFile& done, std::uint64_t offset, ByteView bytes, Digest32 const& note)
{
    auto written = data.write_at(offset, bytes);
    if (written) {
        written = done.write_at(offset / piece_bytes * Digest32::size, note.bytes());
    }
    return written;
}

Result<Bytes> read_piece(File const& file, std::size_t piece, std::size_t size)
{
    auto bytes = Bytes(size);
    auto const count = file.read_at(piece * piece_bytes, bytes);
    if (!count) {
        return std::unexpected(count.error());
    }
    bytes.resize(*count);
    return bytes;
}

Sha256 hash_from(std::optional<Digest32> const& before, std::uint64_t offset)
{
    return before ? Sha256(*before, offset) : Sha256();
}

/// The chaining value behind `bytes`, or the digest behind the last ones.
Digest32 hash_on(std::optional<Digest32> const& before, std::uint64_t offset, ByteView bytes, bool is_last)
{
    auto hash = hash_from(before, offset);
    hash.update(bytes);
    return is_last ? hash.finish() : hash.state();
}

/// How many bytes of a whole piece, from its beginning on, lead to the value that was noted; 0 if none do.
std::size_t right_bytes(std::optional<Digest32> const& before, std::uint64_t offset, ByteView piece, bool is_last,
                        Digest32 const& note)
{
    auto hash = hash_from(before, offset);
    for (std::size_t done = 0; done < piece.size();) {
        auto const part = piece.subspan(done, std::min(part_bytes, piece.size() - done));
        hash.update(part);
        done += part.size();
        if ((is_last && done == piece.size() ? hash.finish() : hash.state()) == note) {
            return done;
        }
    }
    return 0;
}

std::filesystem::path file_of(std::filesystem::path const& folder, PartialKey const& key, std::string_view extension)
{
    return folder / (key.text() + std::string(extension));
}

}  // namespace

std::unique_ptr<PartialLease> PartialLease::take(std::shared_ptr<Held> held, PartialKey key)
{
    if (!held->insert(key).second) {
        return nullptr;
    }
    return std::unique_ptr<PartialLease>(new PartialLease(std::move(held), key));
}

Partial::Partial(Env& env, std::filesystem::path const& folder, Incoming incoming, std::unique_ptr<PartialLease> lease)
    : env_(env), incoming_(std::move(incoming)), data_path_(file_of(folder, incoming_.key, ".part")),
      meta_path_(file_of(folder, incoming_.key, ".meta")), done_path_(file_of(folder, incoming_.key, ".done")),
      lease_(std::move(lease))
{
}

Task<Result<std::unique_ptr<Partial>>> Partial::open(Env& env, std::filesystem::path folder, Incoming incoming,
                                                     std::unique_ptr<PartialLease> lease, Progress progress)
{
    auto const count = count_pieces(incoming.size_bytes);
    if (!count) {
        co_return std::unexpected(count.error());
    }
    auto partial = std::unique_ptr<Partial>(new Partial(env, folder, std::move(incoming), std::move(lease)));
    partial->present_.resize(*count);
    auto ready = partial->prepare();
    if (ready) {
        auto const size = partial->size_bytes();
        ready = partial->explained(
            co_await run_on_pool(env, [data = partial->data_, size] { return data->reserve(size); }));
    }
    if (ready) {
        ready = co_await partial->recall(std::move(progress));
    }
    if (!ready) {
        co_return std::unexpected(ready.error());
    }
    co_return partial;
}

Result<Incoming> Partial::find(Disk& disk, std::filesystem::path const& folder, PartialKey const& key)
{
    return transform(read_meta(disk, file_of(folder, key, ".meta")), [&](Meta meta) {
        return Incoming{
            .key = key, .size_bytes = meta.size_bytes, .digest = meta.digest, .pieces = std::move(meta.pieces)};
    });
}

/// Takes what is there if it is of the same model, and opens the files.
Result<void> Partial::prepare()
{
    auto const meta = read_meta(env_.disk(), meta_path_);
    auto const is_other = [&] { return meta->digest && incoming_.digest && meta->digest != incoming_.digest; };
    if (!meta || meta->size_bytes != incoming_.size_bytes || is_other()) {
        discard();
    } else {
        incoming_.digest = incoming_.digest ? incoming_.digest : meta->digest;
        incoming_.pieces = incoming_.pieces ? incoming_.pieces : meta->pieces;
    }
    if (incoming_.pieces) {
        list_ = std::make_shared<PieceList const>(std::move(*std::exchange(incoming_.pieces, {})));
    }
    auto ready = check_room();
    if (!ready) {
        return ready;
    }
    ready = write_meta();
    return explained(ready ? open_files() : ready);
}

Result<void> Partial::check_room()
{
    auto& disk = env_.disk();
    auto const status = disk.status(data_path_);
    if (status && status->size >= size_bytes()) {
        return {};  // set aside already
    }
    auto const room = disk.free_bytes(data_path_.parent_path());
    if (room && *room < size_bytes() + spare_bytes) {
        return fail(ErrorKind::out_of_space, "the model has {} MB and the disk has {} MB free", size_bytes() >> 20,
                    *room >> 20);
    }
    return {};
}

Result<void> Partial::write_meta()
{
    auto const meta = Meta{.used = env_.wall_now(),
                           .size_bytes = size_bytes(),
                           .digest = incoming_.digest,
                           .pieces = list_ ? std::optional(*list_) : std::nullopt};
    return env_.disk().write_file(meta_path_, encode_meta(meta), 0600);
}

Result<void> Partial::open_files()
{
    auto data = open_or_create(env_.disk(), data_path_);
    if (!data) {
        return std::unexpected(data.error());
    }
    auto done = open_or_create(env_.disk(), done_path_);
    if (!done) {
        return std::unexpected(done.error());
    }
    data_ = std::move(*data);
    done_ = std::move(*done);
    return {};
}

/// A disk that has filled up since the room was set aside, or could not set it aside, is told with numbers.
Result<void> Partial::explained(Result<void> done) const
{
    auto const room = env_.disk().free_bytes(data_path_.parent_path());
    if (done || done.error().kind != ErrorKind::out_of_space || !room) {
        return done;
    }
    return fail(ErrorKind::out_of_space, "the disk is full: it has {} MB free, the model has {} MB; what came is kept",
                *room >> 20, size_bytes() >> 20);
}

/// Reads again what was noted. Without a list what comes behind the first gap counts no more.
Task<Result<void>> Partial::recall(Progress progress)
{
    auto const notes = env_.disk().read_file(done_path_, count() * Digest32::size);
    auto opened = env_.disk().open(data_path_);
    if (!notes || !opened) {
        co_return std::unexpected(notes ? opened.error() : notes.error());
    }
    auto const file = std::shared_ptr<File const>(std::move(*opened));
    for (std::size_t piece = 0; (piece + 1) * Digest32::size <= notes->size(); ++piece) {
        auto const note =
            Digest32::from_bytes(ByteView(*notes).subspan(piece * Digest32::size, Digest32::size)).value();
        auto const right = note == Digest32{} ? Result<std::size_t>(0) : co_await recall_piece(piece, note, file);
        if (!right) {
            co_return std::unexpected(right.error());
        }
        if (!list_) {
            take(note, *right);
        } else if (*right > 0) {
            keep(piece);
        }
        progress(next_offset());
        if (!list_ && !present_[piece]) {
            break;
        }
    }
    co_return Result<void>{};
}

/// How many bytes from the beginning of the piece on are what was noted: all or none where there is a list.
Task<Result<std::size_t>> Partial::recall_piece(std::size_t piece, Digest32 note, std::shared_ptr<File const> file)
{
    auto const size = size_of(piece);
    if (list_) {
        co_return co_await run_on_pool(env_, [list = list_, piece, file, size] {
            return transform(read_piece(*file, piece, size),
                             [&](Bytes const& bytes) { return list->matches(piece, bytes) ? size : 0; });
        });
    }
    auto const before = last_state();
    auto const is_last = piece + 1 == count();
    co_return co_await run_on_pool(env_, [before, piece, file, size, is_last, note] {
        return transform(read_piece(*file, piece, size), [&](Bytes const& bytes) {
            return bytes.size() == size ? right_bytes(before, piece * piece_bytes, bytes, is_last, note) : 0;
        });
    });
}

std::size_t Partial::size_of(std::size_t piece) const
{
    return static_cast<std::size_t>(std::min(piece_bytes, size_bytes() - piece * piece_bytes));
}

/// Front to back: the chaining value behind what is in its place, nothing at the beginning.
std::optional<Digest32> Partial::last_state() const
{
    if (begun_bytes_ > 0) {
        return begun_state_;
    }
    return states_.empty() ? std::nullopt : std::optional(states_.back());
}

/// Front to back: `bytes` more of the next piece are in their place, and lead to `after`.
void Partial::take(Digest32 const& after, std::size_t bytes)
{
    auto const piece = done_pieces_;
    begun_bytes_ += bytes;
    begun_state_ = after;
    if (begun_bytes_ < size_of(piece)) {
        return;
    }
    begun_bytes_ = 0;
    if (piece + 1 == count()) {
        found_ = after;
    } else {
        states_.push_back(after);
    }
    keep(piece);
}

void Partial::keep(std::size_t piece)
{
    if (!present_[piece]) {
        present_[piece] = true;
        ++done_pieces_;
    }
}

std::uint64_t Partial::done_bytes() const
{
    auto const last = present_.size() - 1;
    auto const short_of = present_[last] ? present_.size() * piece_bytes - size_bytes() : 0;
    return done_pieces_ * piece_bytes - short_of;
}

std::vector<std::uint32_t> Partial::missing() const
{
    auto missing = std::vector<std::uint32_t>{};
    for (std::size_t piece = 0; piece < present_.size(); ++piece) {
        if (!present_[piece]) {
            missing.push_back(static_cast<std::uint32_t>(piece));
        }
    }
    return missing;
}

Result<void> Partial::use(PieceList list)
{
    PLEXUS_ASSERT(writing_ == 0);
    if (list.size_bytes() != size_bytes() || (incoming_.digest && list.digest() != *incoming_.digest)) {
        return fail(ErrorKind::malformed, "the list is of another model");
    }
    for (std::size_t piece = 0; piece < present_.size(); ++piece) {
        if (present_[piece] && !agrees(piece, list)) {
            present_[piece] = false;
            --done_pieces_;
        }
    }
    incoming_.digest = list.digest();
    list_ = std::make_shared<PieceList const>(std::move(list));
    begun_bytes_ = 0;
    waiting_.clear();
    return write_meta();
}

/// True if the bytes of a piece that is here are right by `list` too.
bool Partial::agrees(std::size_t piece, PieceList const& list) const
{
    if (list_) {
        return list_->agrees(piece, list);
    }
    auto const& states = list.states();
    auto const starts_alike = piece == 0 || states_[piece - 1] == states[piece - 1];
    return starts_alike && (piece == states.size() ? found_ == list.digest() : states_[piece] == states[piece]);
}

Task<Result<void>> Partial::write(std::size_t piece, std::shared_ptr<Bytes const> bytes)
{
    PLEXUS_ASSERT(list_ && piece < count());
    auto const guard = Writing(*this);
    auto work = [data = data_, done = done_, list = list_, piece, bytes]() -> Result<void> {
        if (!list->matches(piece, *bytes)) {
            return fail(ErrorKind::malformed, "piece {} has not the right bytes", piece);
        }
        return store(*data, *done, piece * piece_bytes, *bytes, list->digest());
    };
    auto const written = co_await run_on_pool(env_, std::move(work));
    if (written) {
        keep(piece);
    }
    co_return explained(written);
}

Task<Result<void>> Partial::append(ByteView bytes)
{
    PLEXUS_ASSERT(!list_ && writing_ == 0);
    auto const guard = Writing(*this);
    while (!bytes.empty()) {
        auto const left = is_complete() ? 0 : size_of(done_pieces_) - begun_bytes_;
        if (left == 0) {
            co_return fail(ErrorKind::malformed, "there are more than the {} bytes announced", size_bytes());
        }
        auto const part = bytes.first(std::min(bytes.size(), left - waiting_.size()));
        plexus::append(waiting_, part);
        bytes = bytes.subspan(part.size());
        auto const whole = waiting_.size() == left ? left : waiting_.size() - waiting_.size() % part_bytes;
        if (whole == 0) {
            continue;
        }
        auto const written = co_await append_waiting(whole);
        if (!written) {
            co_return written;
        }
    }
    co_return Result<void>{};
}

/// Puts the first `size` bytes that wait in their place.
Task<Result<void>> Partial::append_waiting(std::size_t size)
{
    auto const offset = done_bytes() + begun_bytes_;
    auto const is_last = offset + size == size_bytes();
    auto rest = to_bytes(ByteView(waiting_).subspan(size));
    waiting_.resize(size);
    auto const bytes = std::make_shared<Bytes const>(std::exchange(waiting_, {}));
    auto work = [data = data_, done = done_, before = last_state(), offset, bytes, is_last]() -> Result<Digest32> {
        auto const after = hash_on(before, offset, *bytes, is_last);
        auto const written = store(*data, *done, offset, *bytes, after);
        return written ? Result<Digest32>(after) : std::unexpected(written.error());
    };
    auto const after = co_await run_on_pool(env_, std::move(work));
    if (!after) {
        co_return explained(std::unexpected(after.error()));
    }
    take(*after, size);
    waiting_ = std::move(rest);
    co_return Result<void>{};
}

Result<PieceList> Partial::whole() const
{
    PLEXUS_ASSERT(is_complete());
    if (list_) {
        return *list_;
    }
    if (incoming_.digest && incoming_.digest != found_) {
        return fail(ErrorKind::malformed, "the bytes have not the digest {}", incoming_.digest->text());
    }
    return PieceList::make(*found_, size_bytes(), states_);
}

Task<Result<void>> Partial::sync()
{
    co_return co_await run_on_pool(env_, [data = data_] { return data->sync(); });
}

void Partial::discard()
{
    for (auto const& path : {meta_path_, done_path_, data_path_}) {
        std::ignore = env_.disk().remove(path);
    }
}

void tidy_partials(Env& env, std::filesystem::path const& folder)
{
    auto& disk = env.disk();
    auto by_age = std::multimap<WallTime, std::string, std::greater<>>{};
    auto const names = disk.list(folder).value_or(std::vector<std::string>{});
    for (auto const& name : names) {
        auto const path = folder / name;
        auto const meta = path.extension() == ".meta" ? read_meta(disk, path)
                                                      : fail(ErrorKind::malformed, "another file");
        auto const is_young = meta && env.wall_now() - meta->used < max_partial_age;
        if (is_young && PartialKey::from_text(path.stem().string())) {
            by_age.emplace(meta->used, path.stem().string());
        }
    }
    auto kept = std::set<std::string>{};
    for (auto const& [used, key] : by_age) {
        if (kept.size() < max_partials) {
            kept.insert(key);
        }
    }
    for (auto const& name : names) {
        auto const path = std::filesystem::path(name);
        auto const is_part = path.extension() == ".meta" || path.extension() == ".part" || path.extension() == ".done";
        if (!is_part || !kept.contains(path.stem().string())) {
            std::ignore = disk.remove(folder / name);
        }
    }
}

}  // namespace plexus::models
