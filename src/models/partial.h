#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "base/env.h"
#include "models/pieces.h"

namespace plexus::models {

/// Space that a model on its way leaves free on the disk.
inline constexpr std::uint64_t spare_bytes = 64ULL << 20;
/// Partial models that are kept to be gone on with when the store is opened: the last ones that were worked on.
inline constexpr std::size_t max_partials = 16;
/// Of a file that is filled front to back, what outlives the program is whole parts.
inline constexpr std::size_t part_bytes = 4096;
static_assert(piece_bytes % part_bytes == 0 && part_bytes % crypto::Sha256::block_bytes == 0);
inline constexpr auto max_partial_age = std::chrono::days(30);

/// What a partial model is found again by: the digest of the model, or that of the address it is fetched from.
using PartialKey = crypto::Digest32;

struct Incoming {
    PartialKey key;
    std::uint64_t size_bytes = 0;
    std::optional<ModelDigest> digest{};   ///< what the whole must have, if it is known
    std::optional<PieceList> pieces{};     ///< of that digest and size; without it the file is filled front to back
};

/// The right to write to one key, which one holder has at a time.
class PartialLease {
public:
    using Held = std::set<PartialKey>;
    /// Nothing if it is held. `held` is on the loop.
    static std::unique_ptr<PartialLease> take(std::shared_ptr<Held> held, PartialKey key);
    PartialLease(PartialLease const&) = delete;
    ~PartialLease() { held_->erase(key_); }

private:
    PartialLease(std::shared_ptr<Held> held, PartialKey key) : held_(std::move(held)), key_(key) {}
    std::shared_ptr<Held> held_;
    PartialKey key_;
};

/// A model on its way into the store, kept piece by piece. It can be loaded by nobody before Store::finish().
///
/// What was written stays when this object or the program ends, also when it is killed, and counts again when it is
/// opened: every piece that was noted is read and hashed once more, so that what did not reach the disk is missing and
/// nothing else. Of one loop; hashing and writing are done on the pool.
/// Files: KEY.part (the bytes in their places), KEY.meta (size, digest, list), KEY.done (a note for each piece). Without a
/// list a note is the chaining value behind the piece, or behind the parts of it that are there.
class Partial {
public:
    using Progress = std::function<void(std::uint64_t checked_bytes)>;

    /// Goes on with what is there for the key, if size and digest are the same, else begins anew. The room for all of
    /// it is set aside. `folder` must exist. Errors: `malformed` (empty), `too_large`, `out_of_space`, `io`.
    static Task<Result<std::unique_ptr<Partial>>> open(Env& env, std::filesystem::path folder, Incoming incoming,
                                                       std::unique_ptr<PartialLease> lease, Progress progress);
    Partial(Partial const&) = delete;

    /// What a partial that is there was begun with. Errors: `not_found`, `malformed`.
    static Result<Incoming> find(Disk& disk, std::filesystem::path const& folder, PartialKey const& key);

    PartialKey const& key() const { return incoming_.key; }
    std::uint64_t size_bytes() const { return incoming_.size_bytes; }
    std::uint64_t done_bytes() const;
    std::size_t count() const { return present_.size(); }
    bool has(std::size_t piece) const { return present_[piece]; }
    bool is_complete() const { return done_pieces_ == present_.size(); }
    std::vector<std::uint32_t> missing() const;

    /// Null while the file is filled front to back.
    PieceList const* pieces() const { return list_.get(); }
    /// Takes the list from now on, or another one instead; what it does not agree with is missing again. Nothing may be
    /// being written. Errors: `malformed` for another size or digest, `io`, `out_of_space`.
    Result<void> use(PieceList list);
    /// With a list only, several at a time. Errors: `malformed` if the bytes are not that piece (who sent them is at
    /// fault), `out_of_space`, `io`.
    Task<Result<void>> write(std::size_t piece, std::shared_ptr<Bytes const> bytes);

    /// Without a list: the offset that the next byte of append() has.
    std::uint64_t next_offset() const { return done_bytes() + begun_bytes_ + waiting_.size(); }
    /// Goes on front to back, without a list; one call at a time. What makes no whole part waits in memory and is
    /// lost when this object goes. After an error next_offset() tells where to go on. Errors: `malformed` for more
    /// bytes than there are, `out_of_space`, `io`.
    Task<Result<void>> append(ByteView bytes);

    /// For the store. The list of a complete file; `malformed` if it has not the digest that it should have.
    Result<PieceList> whole() const;
    std::filesystem::path const& data_path() const { return data_path_; }
    /// Makes all bytes durable.
    Task<Result<void>> sync();
    /// Removes all files of it.
    void discard();

private:
    struct Writing {
        explicit Writing(Partial& partial) : count(partial.writing_) { ++count; }
        Writing(Writing const&) = delete;
        ~Writing() { --count; }
        std::size_t& count;
    };

    Partial(Env& env, std::filesystem::path const& folder, Incoming incoming, std::unique_ptr<PartialLease> lease);

    Result<void> prepare();
    Result<void> check_room();
    Result<void> open_files();
    Result<void> write_meta();
    Task<Result<void>> recall(Progress progress);
    Task<Result<std::size_t>> recall_piece(std::size_t piece, crypto::Digest32 note, std::shared_ptr<File const> file);
    Task<Result<void>> append_waiting(std::size_t size);
    std::size_t size_of(std::size_t piece) const;
    std::optional<crypto::Digest32> last_state() const;
    void take(crypto::Digest32 const& after, std::size_t bytes);
    Result<void> explained(Result<void> done) const;
    bool agrees(std::size_t piece, PieceList const& list) const;
    void keep(std::size_t piece);

    Env& env_;
    Incoming incoming_;
    std::filesystem::path data_path_;
    std::filesystem::path meta_path_;
    std::filesystem::path done_path_;
    std::unique_ptr<PartialLease> lease_;
    std::shared_ptr<PieceList const> list_;
    std::vector<crypto::Digest32> states_;  // front to back: behind the pieces that are there
    std::optional<ModelDigest> found_;  // front to back: the digest, behind the last piece
    std::size_t begun_bytes_ = 0;  // front to back: of the next piece, in their place
    crypto::Digest32 begun_state_;  // front to back: behind those
    std::vector<bool> present_;
    std::size_t done_pieces_ = 0;
    std::shared_ptr<WritableFile> data_;
    std::shared_ptr<WritableFile> done_;
    Bytes waiting_;
    std::size_t writing_ = 0;
};

/// Removes from the folder what is damaged, too old or too much.
void tidy_partials(Env& env, std::filesystem::path const& folder);

}  // namespace plexus::models
