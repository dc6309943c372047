#include "blobs/holder.h"

#include "base/log.h"
#include "stream/messages.h"

namespace plexus::blobs {

/// One stream, held by the task that sends and the one that reads requests.
struct Holder::Session {
    Session(Executor executor, std::unique_ptr<host::Stream> opened)
        : stream(std::move(opened)), ready(std::move(executor), 1)
    {
    }

    std::unique_ptr<host::Stream> stream;
    std::shared_ptr<PieceList const> list;
    std::shared_ptr<File const> file;
    Mailbox<Bytes> ready;  // pieces with their headers, to be sent
};

/// A stream that is served; a list that is made, and who waits for it.
struct Holder::Counted {
    Counted(Holder& counting, PeerId from) : holder(counting), peer(std::move(from))
    {
        ++holder.streams_;
        ++holder.streams_of_[peer];
    }
    Counted(Counted const&) = delete;
    ~Counted()
    {
        --holder.streams_;
        if (--holder.streams_of_[peer] == 0) {
            holder.streams_of_.erase(peer);
        }
    }
    Holder& holder;
    PeerId peer;
};

struct Holder::Preparation {
    explicit Preparation(Executor executor) : done(std::move(executor)) {}
    std::optional<List> list;
    Signal done;
};

Holder::Holder(Env& env, models::Store& store, HolderLimits limits)
    : env_(env), store_(store), limits_(limits), tasks_(env.executor())
{
}

Task<> Holder::serve(std::unique_ptr<host::Stream> stream)
{
    auto const counted = Counted(*this, stream->peer());
    auto const session = std::make_shared<Session>(env_.executor(), std::move(stream));
    struct AtEnd {
        Session& session;
        bool in_order = false;
        ~AtEnd()
        {
            session.ready.close();
            if (!in_order) {
                session.stream->reset();
            }
        }
    };
    auto at_end = AtEnd{*session};
    auto const served = co_await serve_steps(session);
    if (served) {
        std::ignore = co_await session->stream->close_write();
        at_end.in_order = true;
        co_return;
    }
    log::debug("a copy of a model ends",
               {{"peer", session->stream->peer().short_text()}, {"why", served.error().text}});
}

Task<Result<void>> Holder::serve_steps(std::shared_ptr<Session> session)
{
    auto& stream = *session->stream;
    auto const limit = env_.deadline_in(limits_.opening);
    auto const message = co_await with_deadline(env_, limit, stream::read_message(stream, max_ask_bytes));
    auto const opening = and_then(message, [](Bytes const& bytes) { return decode_opening(bytes); });
    if (!opening) {
        co_return std::unexpected(opening.error());
    }
    auto const opened = co_await open(*session, *opening);
    auto answer = Answer{Offer{}};
    if (!opened) {
        answer = Failed{opened.error()};
    } else if (opening->known != name_of(*session->list)) {
        answer = Offer{session->list->encode()};
    }
    auto const encoded = encode(answer);
    auto const stall = env_.deadline_in(limits_.stall);
    auto const sent = co_await with_deadline(env_, stall, stream::write_message(stream, encoded));
    if (!sent || !opened) {
        co_return sent;
    }
    tasks_.spawn("read requests of " + stream.peer().short_text(), read_requests(session));
    co_return co_await send_pieces(*session);
}

Task<Result<void>> Holder::open(Session& session, Opening const& opening)
{
    auto const theirs = streams_of_[session.stream->peer()];
    if (streams_ > limits_.streams || theirs > limits_.streams_per_member) {
        co_return fail(ErrorKind::unavailable, "the device gives {} models already", streams_ - 1);
    }
    auto list = co_await list_of(opening.model);
    if (!list) {
        co_return std::unexpected(list.error());
    }
    auto file = co_await store_.open_model(opening.model);
    if (!file) {
        co_return std::unexpected(file.error());
    }
    session.list = std::move(*list);
    session.file = std::move(*file);
    co_return Result<void>{};
}

/// Made once for all who ask at the same time, also when they do not wait for it.
Task<Holder::List> Holder::list_of(ModelDigest model)
{
    auto const found = preparations_.find(model);
    auto const entry = found != preparations_.end() ? found->second : std::make_shared<Preparation>(env_.executor());
    if (found == preparations_.end()) {
        preparations_.emplace(model, entry);
        tasks_.spawn("list the pieces of a model", prepare(model, entry));
    }
    auto wait = [](std::shared_ptr<Preparation> preparation) -> Task<List> {
        while (!preparation->list) {
            co_await preparation->done.wait();
        }
        co_return *preparation->list;
    };
    auto const limit = env_.deadline_in(limits_.preparing);
    auto list = co_await with_deadline(env_, limit, wait(entry));
    if (!list && list.error().kind == ErrorKind::timed_out) {
        co_return fail(ErrorKind::unavailable, "the list of its pieces is being made");
    }
    co_return list;
}

Task<> Holder::prepare(ModelDigest model, std::shared_ptr<Preparation> preparation)
{
    struct AtEnd {
        Holder& holder;
        ModelDigest model;
        Preparation& preparation;
        ~AtEnd()
        {
            holder.preparations_.erase(model);
            preparation.done.notify();
        }
    };
    auto const at_end = AtEnd{*this, model, *preparation};
    auto list = co_await store_.pieces(model);
    preparation->list = std::move(list);
}

Task<Result<void>> Holder::send_pieces(Session& session)
{
    for (;;) {
        auto const piece = co_await session.ready.pop();
        if (!piece) {
            co_return Result<void>{};
        }
        auto const stall = env_.deadline_in(limits_.stall);
        auto const sent = co_await with_deadline(env_, stall, session.stream->write(*piece));
        if (!sent) {
            co_return sent;
        }
    }
}

Task<> Holder::read_requests(std::shared_ptr<Session> session)
{
    for (;;) {
        auto piece = co_await read_piece(*session);
        if (!piece) {
            auto const is_end = piece.error().kind == ErrorKind::closed;
            if (!is_end) {
                log::debug("a copy of a model ends", {{"why", piece.error().text}});
                session->stream->reset();
            }
            session->ready.close();
            co_return;
        }
        auto const pushed = co_await session->ready.push(std::move(*piece));
        if (!pushed) {
            co_return;
        }
    }
}

/// The next piece that is asked for, with its header in front.
Task<Result<Bytes>> Holder::read_piece(Session& session)
{
    auto const idle = env_.deadline_in(limits_.idle);
    auto const message = co_await with_deadline(env_, idle, stream::read_message(*session.stream, max_ask_bytes));
    auto const request = and_then(message, [](Bytes const& bytes) { return decode_request(bytes); });
    if (!request) {
        co_return std::unexpected(request.error());
    }
    auto const number = request->piece;
    if (number >= session.list->count()) {
        co_return fail(ErrorKind::malformed, "there is no piece {}", number);
    }
    auto header = encode(PieceHeader{number});
    auto work = [file = session.file, list = session.list, number,
                 framed = stream::frame_message(header)]() -> Result<Bytes> {
        auto bytes = Bytes(framed.size() + list->size_of(number));
        std::ranges::copy(framed, bytes.begin());
        auto const count = file->read_at(list->offset_of(number), MutableByteView(bytes).subspan(framed.size()));
        if (!count || *count != list->size_of(number)) {
            return fail(ErrorKind::io, "the file of the model cannot be read");
        }
        return bytes;
    };
    co_return co_await run_on_pool(env_, std::move(work));
}

Task<> Holder::stop()
{
    co_await tasks_.join();
}

}  // namespace plexus::blobs
