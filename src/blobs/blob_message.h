#pragma once

#include <optional>
#include <variant>

#include "models/pieces.h"

namespace plexus::blobs {

using models::ModelDigest;
using models::PieceList;

/// Messages of /plexus/blob/1. Spec: docs/protocols/blob.md.

inline constexpr std::size_t max_ask_bytes = 256;      ///< of what the fetching side sends
inline constexpr std::size_t max_list_bytes = models::max_piece_list_bytes;
inline constexpr std::size_t max_offer_bytes = max_list_bytes + 64;
inline constexpr std::size_t max_answer_bytes = 1024;  ///< of each answer behind the offer, without the piece
inline constexpr std::size_t max_error_bytes = 512;

/// SHA-256 of a list of pieces and of the digest that it leads to.
using ListName = crypto::Digest32;
ListName name_of(PieceList const& list);

/// The first message of the fetching side.
struct Opening {
    ModelDigest model;
    std::optional<ListName> known{};  ///< the list that it has already

    bool operator==(Opening const&) const = default;
};

/// Its further messages.
struct PieceRequest {
    std::uint32_t piece = 0;

    bool operator==(PieceRequest const&) const = default;
};

/// The holder has the model.
struct Offer {
    std::optional<Bytes> list{};  ///< PieceList::encode(); nothing: the one that was named

    bool operator==(Offer const&) const = default;
};

/// Right behind it come the bytes of the piece, as many as it has.
struct PieceHeader {
    std::uint32_t piece = 0;

    bool operator==(PieceHeader const&) const = default;
};

/// The last answer.
struct Failed {
    Error error;

    bool operator==(Failed const&) const = default;
};

using Answer = std::variant<Offer, PieceHeader, Failed>;

Bytes encode(Opening const& opening);
Bytes encode(PieceRequest const& request);
Bytes encode(Answer const& answer);

/// Errors of all: `malformed`, `too_large`.
Result<Opening> decode_opening(ByteView message);
Result<PieceRequest> decode_request(ByteView message);
Result<Answer> decode_answer(ByteView message);

}  // namespace plexus::blobs
