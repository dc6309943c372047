#include "blobs/source.h"

#include "blobs/blobs.h"
#include "stream/messages.h"

namespace plexus::blobs {

namespace {

/// A stream that ends within a message is a source that goes, not one that lies.
Error end_of(Error error)
{
    if (error.kind == ErrorKind::too_large) {
        error.kind = ErrorKind::malformed;
    } else if (error.kind == ErrorKind::malformed) {
        error.kind = ErrorKind::closed;
    }
    return error;
}

}  // namespace

Task<Result<Answer>> Source::read_answer(std::size_t limit, Duration patience)
{
    auto const deadline = env_.deadline_in(patience);
    auto const message = co_await with_deadline(env_, deadline, stream::read_message(*stream_, limit));
    if (!message) {
        co_return std::unexpected(end_of(message.error()));
    }
    auto answer = decode_answer(*message);
    if (auto const* failed = answer ? std::get_if<Failed>(&*answer) : nullptr) {
        // What a source says of itself is no fault of its bytes.
        auto const kind = failed->error.kind == ErrorKind::malformed ? ErrorKind::refused : failed->error.kind;
        co_return fail(kind, "{}", failed->error.text);
    }
    co_return answer;
}

Task<Result<std::shared_ptr<PieceList const>>> Source::open(std::shared_ptr<PieceList const> known)
{
    auto const deadline = env_.deadline_in(open_limit);
    auto opened = co_await host_.open_stream(peer_, std::string(blob_protocol), deadline, host::ConnectionUse::bulk);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    stream_ = std::move(*opened);
    auto const opening = Opening{.model = model_, .known = known ? std::optional(name_of(*known)) : std::nullopt};
    auto const message = encode(opening);
    auto const sent = co_await with_deadline(env_, deadline, stream::write_message(*stream_, message));
    if (!sent) {
        co_return std::unexpected(sent.error());
    }
    auto const answer = co_await read_answer(max_offer_bytes, offer_limit);
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const* offer = std::get_if<Offer>(&*answer);
    if (offer == nullptr || (!offer->list && !known)) {
        co_return fail(ErrorKind::malformed, "it offers nothing");
    }
    if (!offer->list) {
        co_return known;
    }
    auto list = PieceList::decode(model_, *offer->list);
    if (!list) {
        co_return fail(ErrorKind::malformed, "{}", list.error().text);
    }
    co_return std::make_shared<PieceList const>(std::move(*list));
}

Task<Result<void>> Source::request(std::uint32_t piece)
{
    requested_.push_back(piece);
    auto const message = encode(PieceRequest{piece});
    auto const deadline = env_.deadline_in(silence_limit);
    co_return co_await with_deadline(env_, deadline, stream::write_message(*stream_, message));
}

Task<Result<std::shared_ptr<Bytes>>> Source::receive(PieceList const& list)
{
    PLEXUS_ASSERT(!requested_.empty());
    auto const piece = requested_.front();
    auto const answer = co_await read_answer(max_answer_bytes, silence_limit);
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const* header = std::get_if<PieceHeader>(&*answer);
    if (header == nullptr || header->piece != piece) {
        co_return fail(ErrorKind::malformed, "it sent another piece than was asked for");
    }
    auto const bytes = std::make_shared<Bytes>(list.size_of(piece));
    for (std::size_t filled = 0; filled < bytes->size(); filled += part_bytes) {
        auto const part = MutableByteView(*bytes).subspan(filled, std::min(part_bytes, bytes->size() - filled));
        auto const deadline = env_.deadline_in(silence_limit);
        auto const read = co_await with_deadline(env_, deadline, stream::read_exactly(*stream_, part));
        if (!read) {
            co_return std::unexpected(end_of(read.error()));
        }
    }
    requested_.pop_front();
    co_return bytes;
}

Task<> Source::close()
{
    if (stream_) {
        std::ignore = co_await stream_->close_write();
    }
}

void Source::reset()
{
    if (stream_) {
        stream_->reset();
    }
}

}  // namespace plexus::blobs
