#include "models/pieces.h"

#include "base/reader.h"

namespace plexus::models {

using crypto::Digest32;
using crypto::Sha256;

Result<std::size_t> count_pieces(std::uint64_t size_bytes)
{
    auto const count = size_bytes / piece_bytes + (size_bytes % piece_bytes == 0 ? 0 : 1);
    if (count == 0) {
        return fail(ErrorKind::malformed, "a model is not empty");
    }
    if (count > max_pieces) {
        return fail(ErrorKind::too_large, "a model of {} GB is over the limit of {} GB", size_bytes >> 30,
                    (max_pieces * piece_bytes) >> 30);
    }
    return count;
}

Result<PieceList> PieceList::make(ModelDigest digest, std::uint64_t size_bytes, std::vector<Digest32> states)
{
    auto const count = count_pieces(size_bytes);
    if (!count) {
        return std::unexpected(count.error());
    }
    if (states.size() + 1 != *count) {
        return fail(ErrorKind::malformed, "a list for {} pieces has {} states", *count, states.size());
    }
    return PieceList(digest, size_bytes, std::move(states));
}

Result<PieceList> PieceList::decode(ModelDigest digest, ByteView bytes)
{
    auto reader = BoundedReader(bytes);
    auto const size = reader.take_big_endian<std::uint64_t>();
    if (!size) {
        return std::unexpected(size.error());
    }
    auto states = std::vector<Digest32>{};
    while (reader.remaining() >= Digest32::size) {
        states.push_back(Digest32::from_bytes(reader.take(Digest32::size).value()).value());
    }
    if (!reader.at_end()) {
        return fail(ErrorKind::malformed, "a list of pieces ends within a state");
    }
    return make(digest, *size, std::move(states));
}

Bytes PieceList::encode() const
{
    auto bytes = Bytes(8);
    bytes.reserve(8 + states_.size() * Digest32::size);
    store_big_endian(bytes.data(), size_bytes_);
    for (auto const& state : states_) {
        append(bytes, state.bytes());
    }
    return bytes;
}

std::size_t PieceList::size_of(std::size_t piece) const
{
    return static_cast<std::size_t>(std::min(piece_bytes, size_bytes_ - offset_of(piece)));
}

bool PieceList::matches(std::size_t piece, ByteView bytes) const
{
    if (piece >= count() || bytes.size() != size_of(piece)) {
        return false;
    }
    auto hash = piece == 0 ? Sha256() : Sha256(states_[piece - 1], offset_of(piece));
    hash.update(bytes);
    return piece == states_.size() ? hash.finish() == digest_ : hash.state() == states_[piece];
}

bool PieceList::agrees(std::size_t piece, PieceList const& other) const
{
    auto const last = states_.size();
    auto const starts_alike = piece == 0 || states_[piece - 1] == other.states_[piece - 1];
    return starts_alike && (piece == last || states_[piece] == other.states_[piece]);
}

PieceHasher::PieceHasher(std::vector<Digest32> states)
    : hashed_(states.size() * piece_bytes), states_(std::move(states))
{
    if (!states_.empty()) {
        hash_ = Sha256(states_.back(), hashed_);
    }
}

void PieceHasher::update(ByteView bytes)
{
    PLEXUS_ASSERT(hashed_ % piece_bytes + bytes.size() <= piece_bytes);
    hash_.update(bytes);
    hashed_ += bytes.size();
    if (hashed_ % piece_bytes == 0 && !bytes.empty()) {
        states_.push_back(hash_.state());
    }
}

std::pair<ModelDigest, Result<PieceList>> PieceHasher::finish()
{
    auto const digest = hash_.finish();
    if (!states_.empty() && hashed_ % piece_bytes == 0) {
        states_.pop_back();  // the last piece gives the digest
    }
    return {digest, PieceList::make(digest, hashed_, std::move(states_))};
}

}  // namespace plexus::models
