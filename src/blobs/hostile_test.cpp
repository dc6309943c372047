#include "blobs/blobs_testing.h"
#include "blobs/source.h"

using namespace plexus;
using namespace plexus::blobs;
using namespace plexus::blobs::testing;

namespace {

/// How a source that cannot be trusted serves a model.
struct Script {
    Bytes model;
    PieceList list;
    std::function<void(std::uint32_t piece, Bytes& bytes)> change = [](std::uint32_t, Bytes&) {};
    std::optional<Bytes> instead_of_offer{};
    std::optional<Bytes> instead_of_piece{};
    std::optional<std::uint32_t> silent_at{};  ///< sends half of the piece, then nothing
    std::size_t* served = nullptr;
};

Task<> serve(Env& env, Script const& script, std::unique_ptr<host::Stream> stream)
{
    auto const opening = co_await stream::read_message(*stream, max_ask_bytes);
    if (!opening) {
        co_return;
    }
    auto const offer = script.instead_of_offer.value_or(
        stream::frame_message(encode(Answer{Offer{script.list.encode()}})));
    auto sent = co_await stream->write(offer);
    while (sent) {
        auto const message = co_await stream::read_message(*stream, max_ask_bytes);
        auto const request = and_then(message, [](Bytes const& bytes) { return decode_request(bytes); });
        if (!request) {
            break;
        }
        auto bytes = piece_of(script.model,
                              std::min<std::size_t>(request->piece, script.model.size() / models::piece_bytes));
        script.change(request->piece, bytes);
        auto answer = script.instead_of_piece.value_or(
            stream::frame_message(encode(Answer{PieceHeader{request->piece}})));
        append(answer, bytes);
        auto const is_silent = script.silent_at == request->piece;
        auto const part = ByteView(answer).first(is_silent ? answer.size() / 2 : answer.size());
        sent = co_await stream->write(part);
        if (script.served != nullptr) {
            ++*script.served;
        }
        if (is_silent) {
            co_await sleep_for(env, 1h);
        }
    }
}

host::StreamHandler by(Device& device, Script script)
{
    auto const shared = std::make_shared<Script const>(std::move(script));
    return [&device, shared](std::unique_ptr<host::Stream> stream) -> Task<> {
        return [](Device& used, std::shared_ptr<Script const> kept, std::unique_ptr<host::Stream> taken) -> Task<> {
            co_await serve(used.env, *kept, std::move(taken));
        }(device, shared, std::move(stream));
    };
}

PieceList with_a_lie_at(PieceList const& list, std::size_t place)
{
    auto states = list.states();
    states[place] = crypto::sha256(as_view("a lie"));
    return PieceList::make(list.digest(), list.size_bytes(), std::move(states)).value();
}

/// The second device serves as the script says, the first one honestly; the copy must come out right.
void check_copy_beside(Script script, std::uint64_t most_from_second, Duration most_time = 1h)
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        mesh.second.pretend(mesh.model, by(mesh.second, std::move(script)));
        co_await sleep_for(mesh.taker.env, 2s);
        auto const begin = mesh.world.now();

        auto const copied = co_await mesh.copy();

        CHECK(copied.value().digest == mesh.digest);
        CHECK(mesh.brought_by(mesh.second) <= most_from_second);
        CHECK(mesh.world.now() - begin < most_time);
    };
    mesh.run(task());
}

Task<std::unique_ptr<host::Stream>> open_by_hand(Device& from, Device& to)
{
    co_return (co_await from.host->open_stream(to.id(), std::string(blob_protocol), from.env.deadline_in(10s))).value();
}

Task<Result<Answer>> ask(host::Stream& stream, Bytes bytes)
{
    auto const written = co_await stream.write(bytes);
    if (!written) {
        co_return std::unexpected(written.error());
    }
    auto const message = co_await stream::read_message(stream, max_offer_bytes);
    co_return and_then(message, [](Bytes const& taken) { return decode_answer(taken); });
}

Bytes opening_of(ModelDigest model)
{
    return stream::frame_message(encode(Opening{.model = model}));
}

}  // namespace

TEST_CASE("hostile source: a changed piece is seen, asked for elsewhere, and its sender is asked no more")
{
    auto const model = model_of(4);
    for (std::uint32_t wrong = 0; wrong < 5; ++wrong) {
        auto served = std::size_t{0};
        auto change = [wrong](std::uint32_t piece, Bytes& bytes) {
            if (piece == wrong) {
                bytes[bytes.size() / 2] ^= std::byte{1};
            }
        };
        check_copy_beside({.model = model, .list = list_of(model), .change = change, .served = &served},
                          4 * models::piece_bytes);
    }
}

TEST_CASE("hostile source: one that changes every piece gets nothing in")
{
    auto const model = model_of(4);
    auto served = std::size_t{0};
    auto change = [](std::uint32_t, Bytes& bytes) { bytes.front() ^= std::byte{1}; };

    check_copy_beside({.model = model, .list = list_of(model), .change = change, .served = &served}, 0);

    CHECK(served > 0);
    CHECK(served <= 5);
}

TEST_CASE("hostile source: a list that lies anywhere does not keep the right one from winning")
{
    auto const model = model_of(4);
    for (std::size_t place = 0; place < 4; ++place) {
        check_copy_beside({.model = model, .list = with_a_lie_at(list_of(model), place)}, model.size());
    }
}

TEST_CASE("hostile source: a list that lies, came first and is served without haste is found out by one piece")
{
    auto const model = model_of(4);
    for (std::size_t place = 0; place < 4; ++place) {
        auto mesh = Mesh();
        auto task = [&]() -> Task<> {
            mesh.second.pretend(mesh.model,
                                by(mesh.second, {.model = model, .list = with_a_lie_at(list_of(model), place)}));
            co_await sleep_for(mesh.taker.env, 2s);
            auto const alone = co_await mesh.copy(mesh.second.id());
            CHECK_FALSE(alone);
            CHECK(mesh.taker.store->list().empty());

            auto const copied = co_await mesh.copy();

            CHECK(copied.value().digest == mesh.digest);
        };
        mesh.run(task());
    }
}

TEST_CASE("hostile source: no room is set aside for a size that the last piece does not prove")
{
    auto const model = model_of(4);
    auto states = std::vector<crypto::Digest32>(models::max_pieces - 1);
    auto huge =
        PieceList::make(crypto::sha256(model), models::max_pieces * models::piece_bytes, std::move(states)).value();
    auto script = Script{.model = model, .list = std::move(huge)};
    script.change = [](std::uint32_t, Bytes& bytes) { bytes.resize(models::piece_bytes); };

    check_copy_beside(std::move(script), 0);
}

TEST_CASE("hostile source: what is no answer ends it and nothing else")
{
    auto const model = model_of(4);
    auto const list = list_of(model);
    auto const wrong = std::vector<Bytes>{
        to_bytes("\x05nope!"),
        stream::frame_message(encode(Answer{PieceHeader{1000}})),
        stream::frame_message(encode(Answer{Offer{}})),
        stream::frame_message(encode(Answer{Failed{{ErrorKind::unavailable, "no"}}})),
        stream::frame_message(encode(Answer{Failed{{ErrorKind::malformed, "no"}}})),
        stream::frame_message(encode(Answer{Offer{Bytes(9)}})),
        from_hex("ffffffff0f").value(),
    };
    for (auto const& bytes : wrong) {
        check_copy_beside({.model = model, .list = list, .instead_of_offer = bytes}, 0);
        check_copy_beside({.model = model, .list = list, .instead_of_piece = bytes}, 0);
    }
}

TEST_CASE("hostile source: one that falls silent within a piece does not hold the copy for long")
{
    auto const model = model_of(4);
    for (std::uint32_t piece : {0U, 2U, 4U}) {
        check_copy_beside({.model = model, .list = list_of(model), .silent_at = piece}, model.size(), 20s);
    }
}

TEST_CASE("hostile taker: what is not asked for in order is answered with an error or an end")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        auto stream = co_await open_by_hand(mesh.taker, mesh.first);
        auto const unknown = co_await ask(*stream, opening_of(crypto::sha256(as_view("unknown"))));
        CHECK(std::get<Failed>(unknown.value()).error.kind == ErrorKind::not_found);

        for (auto const& bytes : {to_bytes("\x05nope!"), from_hex("ffffffff0f").value(), to_bytes("\x02\x0a\x7f")}) {
            stream = co_await open_by_hand(mesh.taker, mesh.first);
            CHECK_FALSE(co_await ask(*stream, bytes));
        }
        for (auto const piece : {5U, 1'000'000U, UINT32_MAX}) {
            stream = co_await open_by_hand(mesh.taker, mesh.first);
            CHECK(co_await ask(*stream, opening_of(mesh.digest)));
            auto request = stream::frame_message(encode(PieceRequest{piece}));
            CHECK_FALSE(co_await ask(*stream, std::move(request)));
        }
        CHECK(co_await mesh.copy());
    };
    mesh.run(task());
}

TEST_CASE("hostile taker: streams are few, and end when nothing is asked or nothing is read")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        auto streams = std::vector<std::unique_ptr<host::Stream>>{};
        for (std::size_t count = 0; count < HolderLimits{}.streams_per_member; ++count) {
            streams.push_back(co_await open_by_hand(mesh.taker, mesh.first));
            auto const answer = co_await ask(*streams.back(), opening_of(mesh.digest));
            CHECK(std::holds_alternative<Offer>(answer.value()));
        }
        auto over = co_await open_by_hand(mesh.taker, mesh.first);
        auto const refused = co_await ask(*over, opening_of(mesh.digest));
        CHECK(std::get<Failed>(refused.value()).error.kind == ErrorKind::unavailable);
        for (auto count = 0; count < 100; ++count) {  // asked for, never read
            auto const request = stream::frame_message(encode(PieceRequest{0}));
            CHECK(co_await streams.front()->write(request));
        }

        co_await sleep_for(mesh.taker.env, 3min);

        CHECK(co_await mesh.copy());
        for (auto const& stream : streams) {
            CHECK_FALSE(co_await stream->write(Bytes(1)));
        }
    };
    mesh.run(task());
}

TEST_CASE("hostile taker: a list that takes long to make is made once, whoever asks and does not wait")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        CHECK(mesh.first.env.disk().remove("/data/models/pieces/" + mesh.digest.text()));
        auto stream = co_await open_by_hand(mesh.taker, mesh.first);
        CHECK(co_await stream->write(opening_of(mesh.digest)));
        stream->reset();
        co_await sleep_for(mesh.taker.env, 1s);

        CHECK(co_await mesh.copy());
        CHECK(mesh.first.env.disk().status("/data/models/pieces/" + mesh.digest.text()));
    };
    mesh.run(task());
}
