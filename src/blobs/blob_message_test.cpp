#include <doctest/doctest.h>

#include "blobs/blob_message.h"

using namespace plexus;
using namespace plexus::blobs;

namespace {

ModelDigest const model = crypto::sha256(as_view("a model"));

}  // namespace

TEST_CASE("blob messages: what is written is read again")
{
    auto const known = crypto::sha256(as_view("a list"));
    CHECK(decode_opening(encode(Opening{model, known})) == Opening{model, known});
    CHECK(decode_opening(encode(Opening{model})) == Opening{model});
    CHECK(decode_request(encode(PieceRequest{7})) == PieceRequest{7});
    for (auto const& answer : {Answer{Offer{}}, Answer{Offer{Bytes(40, std::byte{1})}}, Answer{PieceHeader{9}},
                               Answer{Failed{{ErrorKind::unavailable, "busy"}}}}) {
        CHECK(decode_answer(encode(answer)) == answer);
    }
}

TEST_CASE("blob messages: what is over a limit, says two things or nothing is refused")
{
    auto both = encode(Answer{PieceHeader{1}});
    append(both, encode(Answer{Offer{}}));

    CHECK(decode_answer(both).error().kind == ErrorKind::malformed);
    CHECK(decode_answer({}).error().kind == ErrorKind::malformed);
    CHECK(decode_answer(Bytes(max_offer_bytes + 1)).error().kind == ErrorKind::too_large);
    CHECK(decode_opening(Bytes(max_ask_bytes + 1)).error().kind == ErrorKind::too_large);
    CHECK(decode_request(Bytes(max_ask_bytes + 1)).error().kind == ErrorKind::too_large);
    CHECK(decode_opening(from_hex("0a020102").value()).error().kind == ErrorKind::malformed);
    CHECK(decode_request(from_hex("08ffffffffffff01").value()).error().kind == ErrorKind::malformed);
}

TEST_CASE("blob messages: unknown fields are skipped, and texts of others are plain")
{
    auto opening = encode(Opening{model});
    append(opening, from_hex("5a0161").value());

    CHECK(decode_opening(opening) == Opening{model});
    auto const failed = decode_answer(encode(Answer{Failed{{ErrorKind::io, "red \x1b[31m"}}}));
    CHECK(std::get<Failed>(failed.value()).error.text == "red [31m");
}
