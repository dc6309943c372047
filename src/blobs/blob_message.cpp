#include "blobs/blob_message.h"

#include <optional>

#include "multiformats/protobuf_fields.h"

namespace plexus::blobs {

namespace {

using crypto::Digest32;
using multiformats::bytes_of;
using multiformats::decode_message;
using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;
using multiformats::take_alternative;
using multiformats::take_number;
using multiformats::take_plain_text;

constexpr std::size_t max_kind_bytes = 64;

namespace opening_field {
enum : std::uint32_t { model = 1, known };
}
namespace request_field {
enum : std::uint32_t { piece = 1 };
}
namespace answer_field {
enum : std::uint32_t { offer = 1, piece, failed };
}
namespace offer_field {
enum : std::uint32_t { list = 1 };
}
namespace failed_field {
enum : std::uint32_t { kind = 1, text };
}

template <typename Target>
Result<void> take_digest(ProtobufField const& field, Target& target)
{
    auto const digest = and_then(bytes_of(field, Digest32::size), Digest32::from_bytes);
    if (!digest) {
        return std::unexpected(digest.error());
    }
    target = *digest;
    return {};
}

Result<void> merge(Opening& opening, ProtobufField const& field)
{
    switch (field.number) {
    case opening_field::model: return take_digest(field, opening.model);
    case opening_field::known: return take_digest(field, opening.known);
    default: return {};
    }
}

Result<void> merge(PieceRequest& request, ProtobufField const& field)
{
    return field.number == request_field::piece ? take_number(field, request.piece) : Result<void>{};
}

Result<void> merge(Offer& offer, ProtobufField const& field)
{
    if (field.number != offer_field::list) {
        return {};
    }
    auto const bytes = bytes_of(field, max_list_bytes);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    offer.list = to_bytes(*bytes);
    return {};
}

Result<void> merge(PieceHeader& header, ProtobufField const& field)
{
    return field.number == request_field::piece ? take_number(field, header.piece) : Result<void>{};
}

Result<void> merge(Failed& failed, ProtobufField const& field)
{
    if (field.number == failed_field::text) {
        return take_plain_text(field, max_error_bytes, failed.error.text);
    }
    auto kind = std::string{};
    auto taken = field.number == failed_field::kind ? take_plain_text(field, max_kind_bytes, kind) : Result<void>{};
    if (field.number == failed_field::kind) {
        failed.error.kind = error_kind_from(kind);
    }
    return taken;
}

constexpr auto merging = [](auto& message, ProtobufField const& field) { return merge(message, field); };

Result<void> merge_answer(std::optional<Answer>& answer, ProtobufField const& field)
{
    if (field.number < answer_field::offer || field.number > answer_field::failed) {
        return {};
    }
    auto const inner = bytes_of(field, max_offer_bytes);
    if (!inner) {
        return std::unexpected(inner.error());
    }
    switch (field.number) {
    case answer_field::offer: return take_alternative<Offer>(*inner, answer, merging);
    case answer_field::piece: return take_alternative<PieceHeader>(*inner, answer, merging);
    default: return take_alternative<Failed>(*inner, answer, merging);
    }
}

Result<void> check_size(ByteView message, std::size_t limit)
{
    if (message.size() > limit) {
        return fail(ErrorKind::too_large, "a blob message of {} bytes", message.size());
    }
    return {};
}

Bytes inner_of(Offer const& offer)
{
    return offer.list ? ProtobufWriter{}.bytes(offer_field::list, *offer.list).take() : Bytes{};
}

Bytes inner_of(PieceHeader const& header)
{
    return ProtobufWriter{}.varint(request_field::piece, header.piece).take();
}

Bytes inner_of(Failed const& failed)
{
    return ProtobufWriter{}
        .text(failed_field::kind, to_string(failed.error.kind))
        .text(failed_field::text, std::string_view(failed.error.text).substr(0, max_error_bytes))
        .take();
}

}  // namespace

ListName name_of(PieceList const& list)
{
    return crypto::sha256(concatenate({list.digest().bytes(), list.encode()}));
}

Bytes encode(Opening const& opening)
{
    auto writer = ProtobufWriter{};
    writer.bytes(opening_field::model, opening.model.bytes());
    if (opening.known) {
        writer.bytes(opening_field::known, opening.known->bytes());
    }
    return writer.take();
}

Bytes encode(PieceRequest const& request)
{
    return ProtobufWriter{}.varint(request_field::piece, request.piece).take();
}

Bytes encode(Answer const& answer)
{
    auto const field = static_cast<std::uint32_t>(answer.index() + 1);
    auto const inner = std::visit([](auto const& what) { return inner_of(what); }, answer);
    return ProtobufWriter{}.bytes(field, inner).take();
}

Result<Opening> decode_opening(ByteView message)
{
    if (auto const fits = check_size(message, max_ask_bytes); !fits) {
        return std::unexpected(fits.error());
    }
    return decode_message<Opening>(message, merging);
}

Result<PieceRequest> decode_request(ByteView message)
{
    if (auto const fits = check_size(message, max_ask_bytes); !fits) {
        return std::unexpected(fits.error());
    }
    return decode_message<PieceRequest>(message, merging);
}

Result<Answer> decode_answer(ByteView message)
{
    if (auto const fits = check_size(message, max_offer_bytes); !fits) {
        return std::unexpected(fits.error());
    }
    auto answer = std::optional<Answer>{};
    auto merged = for_each_field(message, [&](ProtobufField const& field) { return merge_answer(answer, field); });
    if (!merged) {
        return std::unexpected(merged.error());
    }
    if (!answer) {
        return fail(ErrorKind::malformed, "an answer says nothing that is known");
    }
    return std::move(*answer);
}

}  // namespace plexus::blobs
