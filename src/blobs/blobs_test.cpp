#include "blobs/blobs_testing.h"

using namespace plexus;
using namespace plexus::blobs;
using namespace plexus::blobs::testing;

TEST_CASE("copy: a model of another device becomes one of this device, bytes, name and list of pieces")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        auto const copied = co_await mesh.copy();

        REQUIRE(copied);
        CHECK(copied->digest == mesh.digest);
        CHECK(copied->name == "tiny");
        CHECK(copied->origin == "copied from " + mesh.first.id().short_text());
        auto const file = (co_await mesh.taker.store->open_model(mesh.digest)).value();
        auto bytes = Bytes(mesh.model.size());
        CHECK(file->read_at(0, bytes) == mesh.model.size());
        CHECK(bytes == mesh.model);
        CHECK(*(co_await mesh.taker.store->pieces(mesh.digest)).value() == list_of(mesh.model));
        CHECK(mesh.progress.back().done_bytes == mesh.model.size());
        CHECK(mesh.progress.back().total_bytes == mesh.model.size());
        CHECK(mesh.brought_by(mesh.first) == mesh.model.size());
    };
    mesh.run(task());
}

TEST_CASE("copy: several devices give at once, and every piece comes once")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        co_await mesh.second.hold(mesh.model);
        co_await mesh.third.hold(mesh.model);
        co_await sleep_for(mesh.taker.env, 2s);

        CHECK(co_await mesh.copy());

        auto sum = std::uint64_t{0};
        for (auto* device : {&mesh.first, &mesh.second, &mesh.third}) {
            CHECK(mesh.brought_by(*device) > 0);
            sum += mesh.brought_by(*device);
        }
        CHECK(sum == mesh.model.size());
    };
    mesh.run(task());
}

TEST_CASE("copy: bulk has a connection of its own, which ends with the copy")
{
    auto mesh = Mesh();
    auto const count = [&](host::ConnectionUse use) {
        return std::ranges::count(mesh.first.host->connections(), use, &host::ConnectionInfo::use);
    };
    auto task = [&]() -> Task<> {
        auto most = std::ptrdiff_t{0};
        auto wanted = Wanted{.model = mesh.digest};
        CHECK(co_await mesh.taker.blobs->copy(std::move(wanted), [&](CopyProgress const& now) {
            most = std::max(most, now.done_bytes > 0 ? count(host::ConnectionUse::bulk) : 0);
        }));
        CHECK(most == 1);
        CHECK(count(host::ConnectionUse::main) == 1);

        co_await sleep_for(mesh.taker.env, 60s);

        CHECK(count(host::ConnectionUse::bulk) == 0);
        CHECK(count(host::ConnectionUse::main) == 1);
    };
    mesh.run(task());
}

TEST_CASE("copy: a model that is here is the result at once; what nobody has, or under a taken name, is told at once")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        CHECK((co_await mesh.first.blobs->copy({.model = mesh.digest}, [](CopyProgress const&) {})).value().name ==
              "tiny");
        auto const unknown = crypto::sha256(as_view("another"));
        auto const missing = co_await mesh.taker.blobs->copy({.model = unknown}, [](CopyProgress const&) {});
        CHECK(missing.error().kind == ErrorKind::not_found);
        CHECK((co_await mesh.copy(mesh.second.id())).error().kind == ErrorKind::not_found);
        auto other = model_of(1);
        co_await mesh.taker.hold(std::move(other));
        CHECK((co_await mesh.copy()).error().kind == ErrorKind::conflict);
    };
    mesh.run(task());
}

TEST_CASE("copy: one that is cancelled is gone on with, and nothing that came comes again")
{
    auto mesh = Mesh();
    mesh.world.set_default_link({.delay = 1ms, .jitter = {}, .bytes_per_second = 2'000'000});
    auto task = [&]() -> Task<> {
        auto ended = co_await with_deadline(mesh.taker.env, mesh.taker.env.deadline_in(6s), mesh.copy());
        CHECK(ended.error().kind == ErrorKind::timed_out);
        co_await sleep_for(mesh.taker.env, 1s);
        auto const before = mesh.progress.back().done_bytes;
        CHECK(before > 0);

        CHECK(co_await mesh.copy());

        CHECK(mesh.brought_by(mesh.first) == mesh.model.size() - before);
    };
    mesh.run(task());
}

TEST_CASE("copy: two at a time of one model are one too many, and the end of one makes room at once")
{
    auto mesh = Mesh();
    mesh.world.set_default_link({.delay = 1ms, .jitter = {}, .bytes_per_second = 2'000'000});
    auto task = [&]() -> Task<> {
        auto scope = TaskScope(mesh.world.executor());
        auto result = std::optional<Result<models::Model>>{};
        scope.spawn("copy", [](Mesh& mesh, std::optional<Result<models::Model>>& result) -> Task<> {
            result = co_await mesh.copy();
        }(mesh, result));
        co_await sleep_for(mesh.taker.env, 5s);
        CHECK((co_await mesh.copy()).error().kind == ErrorKind::conflict);

        co_await scope.join();
        co_await sleep_for(mesh.taker.env, 100ms);

        CHECK_FALSE(result);
        CHECK(co_await mesh.copy());
    };
    mesh.run(task());
}

TEST_CASE("copy: the taking device is killed at any moment and goes on from what it has")
{
    for (auto after : {2s, 4s, 6s, 8s, 10s}) {
        auto mesh = Mesh();
        mesh.world.set_default_link({.delay = 1ms, .jitter = {}, .bytes_per_second = 2'000'000});
        auto task = [&]() -> Task<> {
            auto const deadline = mesh.taker.env.deadline_in(after);
            std::ignore = co_await with_deadline(mesh.taker.env, deadline, mesh.copy());
            co_await mesh.taker.die_and_return();
            co_await mesh.connect_all();
            mesh.progress.clear();

            auto const copied = co_await mesh.copy();

            CHECK(copied.value().digest == mesh.digest);
            CHECK(mesh.brought_by(mesh.first) <= mesh.model.size());
        };
        mesh.run(task());
    }
}

TEST_CASE("copy: a source that is killed leaves the rest to the others, and is used again when it is back")
{
    auto mesh = Mesh();
    mesh.world.set_default_link({.delay = 1ms, .jitter = {}, .bytes_per_second = 2'000'000});
    auto task = [&]() -> Task<> {
        co_await mesh.second.hold(mesh.model);
        co_await sleep_for(mesh.taker.env, 2s);
        auto scope = TaskScope(mesh.world.executor());
        auto kill = [](Mesh& mesh) -> Task<> {
            co_await sleep_for(mesh.taker.env, 3s);
            co_await mesh.second.die_and_return();
        };
        scope.spawn("kill", kill(mesh));

        CHECK(co_await mesh.copy());

        co_await scope.join();
        CHECK(mesh.brought_by(mesh.first) > mesh.model.size() / 2);
    };
    mesh.run(task());
}

TEST_CASE("copy: the only source is killed and comes back, and the copy waits for it")
{
    auto mesh = Mesh();
    mesh.world.set_default_link({.delay = 1ms, .jitter = {}, .bytes_per_second = 2'000'000});
    auto task = [&]() -> Task<> {
        auto scope = TaskScope(mesh.world.executor());
        auto kill = [](Mesh& mesh) -> Task<> {
            co_await sleep_for(mesh.taker.env, 5s);
            co_await mesh.first.die_and_return();
            co_await sleep_for(mesh.taker.env, 5s);
            co_await mesh.taker.connect(mesh.first);
        };
        scope.spawn("kill", kill(mesh));

        CHECK(co_await mesh.copy());

        co_await scope.join();
        CHECK(mesh.brought_by(mesh.first) == mesh.model.size());
    };
    mesh.run(task());
}

TEST_CASE("copy: no room is told before the first byte, and a disk that fails keeps what there is")
{
    auto mesh = Mesh();
    auto task = [&]() -> Task<> {
        mesh.taker.env.set_disk_room(models::spare_bytes);
        CHECK((co_await mesh.copy()).error().kind == ErrorKind::out_of_space);
        mesh.taker.env.set_disk_room(std::uint64_t{1} << 40);
        mesh.taker.env.fail_disk_write(8);
        CHECK((co_await mesh.copy()).error().kind == ErrorKind::io);
        mesh.taker.env.fail_disk_write(0);
        co_await sleep_for(mesh.taker.env, 1s);
        auto const before = mesh.progress.back().done_bytes;

        CHECK(co_await mesh.copy());

        CHECK(before > 0);
        CHECK(mesh.brought_by(mesh.first) == mesh.model.size() - before);
    };
    mesh.run(task());
}
