#include "blobs/blob_message.h"

using namespace plexus;
using namespace plexus::blobs;

namespace {

template <typename T>
void check_again(T const& value, Result<T> (*decode)(ByteView))
{
    auto const again = decode(encode(value));
    PLEXUS_ASSERT(again && *again == value);
}

}  // namespace

/// What is accepted is written and read again, and a list that is accepted has as many states as its size asks for.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const message = std::as_bytes(std::span(data, size));
    if (auto const opening = decode_opening(message)) {
        check_again(*opening, decode_opening);
    }
    if (auto const request = decode_request(message)) {
        check_again(*request, decode_request);
    }
    auto const answer = decode_answer(message);
    if (!answer) {
        return 0;
    }
    check_again(*answer, decode_answer);
    auto const* offer = std::get_if<Offer>(&*answer);
    auto const list = offer != nullptr && offer->list ? PieceList::decode({}, *offer->list)
                                                      : Result<PieceList>(fail(ErrorKind::not_found, "no list"));
    if (list) {
        PLEXUS_ASSERT(list->encode() == *offer->list);
        PLEXUS_ASSERT(list->count() == models::count_pieces(list->size_bytes()).value());
    }
    return 0;
}
