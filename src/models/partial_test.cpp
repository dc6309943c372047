#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "models/gguf_testing.h"
#include "models/store.h"

using namespace plexus;
using namespace plexus::models;

namespace {

/// A usable model of a little more than `pieces` pieces, different for every seed.
Bytes model_of(std::size_t pieces, std::uint8_t seed = 1)
{
    auto builder = GgufBuilder();
    builder.data_bytes = pieces * piece_bytes;
    auto bytes = builder.build();
    for (std::size_t offset = bytes.size() - builder.data_bytes + 1024; offset < bytes.size(); offset += 4096) {
        bytes[offset] = static_cast<std::byte>(offset / 4096 * 31 + seed);
    }
    return bytes;
}

PieceList list_of(Bytes const& model)
{
    auto hasher = PieceHasher();
    for (std::size_t offset = 0; offset < model.size(); offset += piece_bytes) {
        hasher.update(ByteView(model).subspan(offset, std::min<std::size_t>(piece_bytes, model.size() - offset)));
    }
    return hasher.finish().second.value();
}

std::shared_ptr<Bytes const> piece_of(Bytes const& model, std::size_t piece)
{
    auto const offset = piece * piece_bytes;
    auto const size = std::min<std::size_t>(piece_bytes, model.size() - offset);
    return std::make_shared<Bytes const>(to_bytes(ByteView(model).subspan(offset, size)));
}

struct Device {
    sim::World world{1};
    sim::SimEnv& env = world.add_device("device");
    std::unique_ptr<Store> store = Store::open(env, "/data/models").value();
    std::uint64_t recalled = 0;

    template <typename T>
    T wait(Task<T> task)
    {
        auto result = std::optional<T>{};
        REQUIRE(world.run([](Task<T> task, std::optional<T>& result) -> Task<> { result = co_await std::move(task); }(
                                                                         std::move(task), result)));
        return std::move(*result);
    }

    Result<std::unique_ptr<Partial>> begin(Incoming incoming)
    {
        return wait(store->begin(std::move(incoming), [this](std::uint64_t bytes) { recalled = bytes; }));
    }
    Result<std::unique_ptr<Partial>> begin(PieceList const& list)
    {
        return begin({.key = list.digest(), .size_bytes = list.size_bytes(), .digest = list.digest(), .pieces = list});
    }
    Result<Model> finish(std::unique_ptr<Partial> partial)
    {
        return wait(store->finish(std::move(partial), "tiny", "a test"));
    }
    void reopen()
    {
        store.reset();
        store = Store::open(env, "/data/models").value();
    }
    void turn_off_and_on()
    {
        env.crash();
        env.restart();
        reopen();
    }
    std::size_t partials() { return env.disk().list("/data/models/partial").value().size(); }
};

/// Begins or goes on, and writes what is missing in the given order until all is there or something fails.
Result<Model> fetch_pieces(Device& device, Bytes const& model, PieceList const& list, std::size_t& written)
{
    auto partial = device.begin(list);
    if (!partial) {
        return std::unexpected(partial.error());
    }
    auto missing = (*partial)->missing();
    std::ranges::reverse(missing);
    for (auto piece : missing) {
        auto const stored = device.wait((*partial)->write(piece, piece_of(model, piece)));
        if (!stored) {
            return std::unexpected(stored.error());
        }
        ++written;
    }
    return device.finish(std::move(*partial));
}

Result<Model> fetch_in_order(Device& device, Bytes const& model, Incoming const& incoming, std::size_t& sent)
{
    auto partial = device.begin(incoming);
    if (!partial) {
        return std::unexpected(partial.error());
    }
    for (auto offset = (*partial)->next_offset(); offset < model.size(); offset = (*partial)->next_offset()) {
        auto const part = ByteView(model).subspan(offset, std::min<std::size_t>(1'500'000, model.size() - offset));
        auto const stored = device.wait((*partial)->append(part));
        if (!stored) {
            return std::unexpected(stored.error());
        }
        sent += part.size();
    }
    return device.finish(std::move(*partial));
}

}  // namespace

TEST_CASE("pieces: each is checked alone against the digest of the whole")
{
    auto const model = model_of(2);
    auto const list = list_of(model);

    CHECK(list.digest() == crypto::sha256(model));
    CHECK(list.count() == 3);
    for (std::size_t piece = 0; piece < list.count(); ++piece) {
        auto bytes = *piece_of(model, piece);
        CHECK(list.matches(piece, bytes));
        bytes.back() ^= std::byte{1};
        CHECK_FALSE(list.matches(piece, bytes));
        bytes.pop_back();
        CHECK_FALSE(list.matches(piece, bytes));
    }
    CHECK_FALSE(list.matches(0, *piece_of(model, 1)));
}

TEST_CASE("pieces: a list that lies fits the right bytes at no place that it touches, whatever it says")
{
    auto const model = model_of(2);
    auto states = list_of(model).states();
    states[1] = crypto::sha256(as_view("a lie"));

    auto const list = PieceList::make(crypto::sha256(model), model.size(), states).value();

    CHECK(list.matches(0, *piece_of(model, 0)));
    CHECK_FALSE(list.matches(1, *piece_of(model, 1)));
    CHECK_FALSE(list.matches(2, *piece_of(model, 2)));
}

TEST_CASE("pieces: a file of whole pieces has a last piece like any other")
{
    auto const model = Bytes(2 * piece_bytes, std::byte{7});
    auto const list = list_of(model);

    CHECK(list.digest() == crypto::sha256(model));
    CHECK(list.count() == 2);
    CHECK(list.matches(1, *piece_of(model, 1)));
}

TEST_CASE("pieces: a list that was written is read again, wrong sizes are refused")
{
    auto const list = list_of(model_of(2));
    auto bytes = list.encode();

    CHECK(PieceList::decode(list.digest(), bytes) == list);
    bytes.pop_back();
    CHECK(PieceList::decode(list.digest(), bytes).error().kind == ErrorKind::malformed);
    CHECK(PieceList::decode(list.digest(), Bytes(7)).error().kind == ErrorKind::malformed);
    CHECK(PieceList::make(list.digest(), 0, {}).error().kind == ErrorKind::malformed);
    CHECK(PieceList::make(list.digest(), UINT64_MAX, {}).error().kind == ErrorKind::too_large);
    CHECK(PieceList::make(list.digest(), piece_bytes + 1, {}).error().kind == ErrorKind::malformed);
}

TEST_CASE("partial model: pieces in any order make a model, which nobody can load before")
{
    auto device = Device();
    auto const model = model_of(2);
    auto const list = list_of(model);
    auto partial = device.begin(list).value();

    REQUIRE(device.wait(partial->write(2, piece_of(model, 2))));
    REQUIRE(device.wait(partial->write(0, piece_of(model, 0))));
    CHECK(partial->missing() == std::vector<std::uint32_t>{1});
    CHECK(partial->done_bytes() == model.size() - piece_bytes);
    CHECK(device.store->list().empty());
    REQUIRE(device.wait(partial->write(1, piece_of(model, 1))));
    auto const made = device.finish(std::move(partial));

    REQUIRE(made);
    CHECK(made->digest == list.digest());
    CHECK(made->origin == "a test");
    CHECK(*device.wait(device.store->pieces(list.digest())).value() == list);
    CHECK(device.wait(device.store->open_model(list.digest())).value()->size() == model.size());
    CHECK(device.partials() == 0);
}

TEST_CASE("partial model: a piece with wrong bytes is refused and stays missing")
{
    auto device = Device();
    auto const model = model_of(1);
    auto partial = device.begin(list_of(model)).value();
    auto wrong = *piece_of(model, 1);
    wrong[0] ^= std::byte{1};

    CHECK(device.wait(partial->write(1, std::make_shared<Bytes const>(wrong))).error().kind == ErrorKind::malformed);
    CHECK(device.wait(partial->write(0, piece_of(model, 1))).error().kind == ErrorKind::malformed);
    CHECK(partial->missing().size() == 2);
}

TEST_CASE("partial model: it has one writer at a time")
{
    auto device = Device();
    auto const list = list_of(model_of(1));
    auto first = device.begin(list).value();

    CHECK(device.begin(list).error().kind == ErrorKind::conflict);
    first.reset();
    CHECK(device.begin(list));
}

TEST_CASE("partial model: after the program was killed nothing that was written is written again")
{
    auto device = Device();
    auto const model = model_of(3);
    auto const list = list_of(model);
    auto partial = device.begin(list).value();
    REQUIRE(device.wait(partial->write(3, piece_of(model, 3))));
    REQUIRE(device.wait(partial->write(1, piece_of(model, 1))));
    partial.reset();

    device.reopen();
    partial = device.begin(list).value();

    CHECK(partial->missing() == std::vector<std::uint32_t>{0, 2});
    CHECK(device.recalled == partial->done_bytes());
}

TEST_CASE("partial model: bytes that were changed on disk between two runs are missing, not believed")
{
    auto device = Device();
    auto const model = model_of(1);
    auto const list = list_of(model);
    REQUIRE(device.wait(device.begin(list).value()->write(0, piece_of(model, 0))));
    auto const path = "/data/models/partial/" + list.digest().text() + ".part";
    auto changed = device.env.disk().read_file(path, model.size()).value();
    changed[piece_bytes / 2] ^= std::byte{1};
    device.env.put_file(path, changed);

    device.reopen();

    CHECK(device.begin(list).value()->missing().size() == 2);
}

TEST_CASE("partial model: a disk that fails at any write, and power lost then, leave what can be gone on with")
{
    auto const model = model_of(2);
    auto const list = list_of(model);
    auto failures = 0;
    for (std::size_t write = 1; write < 16; ++write) {
        auto device = Device();
        auto written = std::size_t{0};
        device.env.fail_disk_write(write);

        auto const first = fetch_pieces(device, model, list, written);
        device.env.fail_disk_write(0);
        device.turn_off_and_on();
        REQUIRE(device.store->list().size() == (first ? 1 : 0));
        auto const second = fetch_pieces(device, model, list, written);

        failures += first ? 0 : 1;
        REQUIRE(second);
        CHECK(second->digest == list.digest());
        CHECK(device.wait(device.store->open_model(list.digest())));
        CHECK(device.partials() == 0);
    }
    CHECK(failures > 8);
}

TEST_CASE("partial model: without a list it is filled front to back and goes on where it was")
{
    auto device = Device();
    auto const model = model_of(3);
    auto const key = crypto::sha256(as_view("https://example.org/tiny.gguf"));
    auto const incoming = Incoming{.key = key, .size_bytes = model.size()};
    auto partial = device.begin(incoming).value();
    REQUIRE(device.wait(partial->append(ByteView(model).first(2 * piece_bytes + 1000))));
    CHECK(partial->next_offset() == 2 * piece_bytes + 1000);
    partial.reset();
    device.reopen();
    auto sent = std::size_t{0};

    auto const made = fetch_in_order(device, model, incoming, sent);

    CHECK(made.value().digest == crypto::sha256(model));
    CHECK(sent == model.size() - 2 * piece_bytes);
    CHECK(*device.wait(device.store->pieces(made->digest)).value() == list_of(model));
}

TEST_CASE("partial model: filled front to back and killed anywhere, less than a part comes again")
{
    auto const model = model_of(2);
    auto const incoming = Incoming{.key = crypto::sha256(model), .size_bytes = model.size()};
    auto const last_piece = 2 * piece_bytes;
    for (auto const at : {std::size_t{1}, part_bytes, piece_bytes - 1, piece_bytes, piece_bytes + 5 * part_bytes + 77,
                          last_piece + 1, model.size() - 1, model.size()}) {
        auto device = Device();
        auto partial = device.begin(incoming).value();
        for (auto offset = std::size_t{0}; offset < at; offset = partial->next_offset()) {
            auto const part = ByteView(model).subspan(offset, std::min<std::size_t>(300'001, at - offset));
            REQUIRE(device.wait(partial->append(part)));
        }
        partial.reset();
        device.reopen();
        auto sent = std::size_t{0};

        auto const made = fetch_in_order(device, model, incoming, sent);

        REQUIRE(made);
        CHECK(made->digest == crypto::sha256(model));
        CHECK(sent == model.size() - (at == model.size() ? at : at / part_bytes * part_bytes));
        CHECK(device.recalled == model.size() - sent);
    }
}

TEST_CASE("partial model: filled front to back, a piece that was begun and changed on disk counts no more")
{
    auto device = Device();
    auto const model = model_of(2);
    auto const incoming = Incoming{.key = crypto::sha256(model), .size_bytes = model.size()};
    auto const begun = piece_bytes + 9 * part_bytes;
    REQUIRE(device.wait(device.begin(incoming).value()->append(ByteView(model).first(begun))));
    auto const path = "/data/models/partial/" + incoming.key.text() + ".part";
    auto changed = device.env.disk().read_file(path, model.size()).value();
    changed[begun - 1] ^= std::byte{1};
    device.env.put_file(path, changed);
    device.reopen();

    CHECK(device.begin(incoming).value()->next_offset() == piece_bytes);
}

TEST_CASE("partial model: filled front to back, power lost at any write costs only what did not reach the disk")
{
    auto const model = model_of(2);
    auto const digest = crypto::sha256(model);
    auto const incoming = Incoming{.key = digest, .size_bytes = model.size(), .digest = digest};
    for (std::size_t write = 1; write < 16; ++write) {
        auto device = Device();
        auto sent = std::size_t{0};
        device.env.fail_disk_write(write);

        auto const first = fetch_in_order(device, model, incoming, sent);
        device.env.fail_disk_write(0);
        device.turn_off_and_on();
        auto const second = fetch_in_order(device, model, incoming, sent);

        REQUIRE(second);
        CHECK(second->digest == digest);
        CHECK(device.partials() == 0);
    }
}

TEST_CASE("partial model: other bytes than those of the digest never become a model")
{
    auto device = Device();
    auto const model = model_of(1);
    auto const other = crypto::sha256(as_view("another model"));
    auto sent = std::size_t{0};

    auto const made = fetch_in_order(device, model, {.key = other, .size_bytes = model.size(), .digest = other}, sent);

    CHECK(made.error().kind == ErrorKind::malformed);
    CHECK(device.store->list().empty());
    CHECK(device.partials() == 0);
}

TEST_CASE("partial model: more bytes than announced are refused")
{
    auto device = Device();
    auto const model = model_of(1);
    auto partial = device.begin({.key = crypto::sha256(model), .size_bytes = model.size() - 1}).value();

    CHECK(device.wait(partial->append(model)).error().kind == ErrorKind::malformed);
}

TEST_CASE("partial model: what was fetched front to back counts for the list of another source")
{
    auto device = Device();
    auto const model = model_of(2);
    auto const list = list_of(model);
    auto partial = device.begin({.key = list.digest(), .size_bytes = model.size(), .digest = list.digest()}).value();
    REQUIRE(device.wait(partial->append(ByteView(model).first(piece_bytes + 100))));

    REQUIRE(partial->use(list));

    CHECK(partial->missing() == std::vector<std::uint32_t>{1, 2});
}

TEST_CASE("partial model: another list keeps what both agree on")
{
    auto device = Device();
    auto const model = model_of(3);
    auto const right = list_of(model);
    auto states = right.states();
    states[2] = crypto::sha256(as_view("a lie"));
    auto const wrong = PieceList::make(right.digest(), right.size_bytes(), states).value();
    auto partial = device.begin(wrong).value();
    REQUIRE(device.wait(partial->write(0, piece_of(model, 0))));
    REQUIRE(device.wait(partial->write(1, piece_of(model, 1))));
    CHECK_FALSE(device.wait(partial->write(2, piece_of(model, 2))));

    REQUIRE(partial->use(right));

    CHECK(partial->missing() == std::vector<std::uint32_t>{2, 3});
    CHECK(partial->use(list_of(model_of(3, 2))).error().kind == ErrorKind::malformed);
}

TEST_CASE("partial model: a full disk is told before the first byte")
{
    auto device = Device();
    device.env.set_disk_room(spare_bytes);

    CHECK(device.begin(list_of(model_of(1))).error().kind == ErrorKind::out_of_space);
    CHECK(device.partials() == 0);
}

TEST_CASE("partial model: a disk that fills up on the way is told with numbers, and room lets it go on")
{
    auto device = Device();
    auto const model = model_of(2);
    auto const list = list_of(model);
    auto partial = device.begin(list).value();
    REQUIRE(device.wait(partial->write(0, piece_of(model, 0))));
    device.env.set_disk_room(10);

    auto const failed = device.wait(partial->write(1, piece_of(model, 1)));

    REQUIRE_FALSE(failed);
    CHECK(failed.error().kind == ErrorKind::out_of_space);
    CHECK(failed.error().text == "the disk is full: it has 0 MB free, the model has 8 MB; what came is kept");
    device.env.set_disk_room(1 << 30);
    auto written = std::size_t{0};
    partial.reset();
    REQUIRE(fetch_pieces(device, model, list, written));
    CHECK(written == 2);
}

TEST_CASE("partial model: a name that is taken leaves the bytes for another one")
{
    auto device = Device();
    auto const [one, two] = std::pair(model_of(1, 1), model_of(1, 2));
    auto written = std::size_t{0};
    REQUIRE(fetch_pieces(device, one, list_of(one), written));

    CHECK(fetch_pieces(device, two, list_of(two), written).error().kind == ErrorKind::conflict);
    auto partial = device.begin(list_of(two)).value();
    CHECK(partial->is_complete());
    CHECK(device.wait(device.store->finish(std::move(partial), "two", "a test")));
}

TEST_CASE("partial model: only the last ones that were worked on are kept, and none for ever")
{
    auto device = Device();
    for (std::size_t number = 0; number < max_partials + 3; ++number) {
        auto const key = crypto::sha256(as_view(std::to_string(number)));
        REQUIRE(device.begin({.key = key, .size_bytes = 100}));
        device.world.run_for(std::chrono::seconds(1));
    }
    device.env.put_file("/data/models/partial/" + std::string(64, 'a') + ".part",
                        to_bytes("without a word of what it is"));
    device.env.put_file("/data/models/partial/" + std::string(64, 'b') + ".meta", to_bytes("damaged"));

    device.reopen();
    CHECK(device.partials() == 3 * max_partials);
    device.env.set_clock_offset(max_partial_age);
    device.reopen();

    CHECK(device.partials() == 0);
}

TEST_CASE("model store: the list of pieces is made again when it was lost")
{
    auto device = Device();
    auto const model = model_of(1);
    auto written = std::size_t{0};
    auto const digest = fetch_pieces(device, model, list_of(model), written).value().digest;
    REQUIRE(device.env.disk().remove("/data/models/pieces/" + digest.text()));

    CHECK(*device.wait(device.store->pieces(digest)).value() == list_of(model));
    CHECK(device.env.disk().status("/data/models/pieces/" + digest.text()));
    REQUIRE(device.store->remove("tiny"));
    CHECK(device.env.disk().list("/data/models/pieces").value().empty());
}
