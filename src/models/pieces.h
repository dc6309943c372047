#pragma once

#include <vector>

#include "crypto/digest.h"

namespace plexus::models {

using ModelDigest = crypto::Digest32;

inline constexpr std::uint64_t piece_bytes = 4ULL << 20;
inline constexpr std::size_t max_pieces = 262'144;  ///< of one model: 1 TiB
inline constexpr std::size_t max_piece_list_bytes = 8 + max_pieces * crypto::Digest32::size;

/// A file in pieces of piece_bytes, each of which can be checked alone, in any order, against the digest of the whole.
///
/// SHA-256 goes front to back over a chaining value of 32 bytes. The list holds that value behind every piece but the
/// last. A piece is right if it leads from the value before it to the value behind it, the last one to the digest. When
/// all pieces are, the whole file has been hashed: a list that lies can be told by a piece that does not fit, and never
/// leads to another file. See docs/decisions/0015.
class PieceList {
public:
    /// `states`: the chaining values behind all pieces but the last. Errors: `malformed` unless they are as many as
    /// `size_bytes` asks for, `too_large` over max_pieces.
    static Result<PieceList> make(ModelDigest digest, std::uint64_t size_bytes, std::vector<crypto::Digest32> states);
    /// What encode() gave. Errors: as make.
    static Result<PieceList> decode(ModelDigest digest, ByteView bytes);

    /// The size (8 bytes, big-endian), then the chaining values. At most max_piece_list_bytes.
    Bytes encode() const;

    ModelDigest const& digest() const { return digest_; }
    std::uint64_t size_bytes() const { return size_bytes_; }
    std::size_t count() const { return states_.size() + 1; }
    std::vector<crypto::Digest32> const& states() const { return states_; }
    std::uint64_t offset_of(std::size_t piece) const { return piece * piece_bytes; }
    std::size_t size_of(std::size_t piece) const;

    /// True if `bytes` are that piece. Takes as long as hashing them; may be called on any thread.
    bool matches(std::size_t piece, ByteView bytes) const;
    /// True if the same bytes would be right for that piece of the other list.
    bool agrees(std::size_t piece, PieceList const& other) const;

    bool operator==(PieceList const&) const = default;

private:
    PieceList(ModelDigest digest, std::uint64_t size_bytes, std::vector<crypto::Digest32> states)
        : digest_(digest), size_bytes_(size_bytes), states_(std::move(states))
    {
    }

    ModelDigest digest_;
    std::uint64_t size_bytes_;
    std::vector<crypto::Digest32> states_;
};

/// How many pieces a file of that size has. Errors: `malformed` for an empty one, `too_large` over max_pieces.
Result<std::size_t> count_pieces(std::uint64_t size_bytes);

/// The list of a file that is hashed front to back.
class PieceHasher {
public:
    PieceHasher() = default;
    /// Goes on behind the pieces that gave `states`.
    explicit PieceHasher(std::vector<crypto::Digest32> states);

    /// No more than up to the end of the piece that is begun.
    void update(ByteView bytes);
    std::uint64_t hashed_bytes() const { return hashed_; }
    /// The chaining values behind the whole pieces so far.
    std::vector<crypto::Digest32> const& states() const { return states_; }

    /// The digest of all and, if it is not too large, the list; the object is spent.
    std::pair<ModelDigest, Result<PieceList>> finish();

private:
    crypto::Sha256 hash_;
    std::uint64_t hashed_ = 0;
    std::vector<crypto::Digest32> states_;
};

}  // namespace plexus::models
