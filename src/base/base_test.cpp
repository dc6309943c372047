#include <doctest/doctest.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/reader.h"
#include "base/real_env.h"
#include "base/text.h"

using namespace plexus;
using namespace std::chrono_literals;

namespace {

/// Runs `task` on a fresh real environment to its end.
template <typename Make>
void run(Make make)
{
    auto env = RealEnv{};
    auto failure = std::exception_ptr{};
    asio::co_spawn(env.executor(), make(env), [&](std::exception_ptr exception) { failure = exception; });
    env.run();
    if (failure) {
        std::rethrow_exception(failure);
    }
}

Task<Result<int>> answer_after(Env& env, Duration duration)
{
    co_await sleep_for(env, duration);
    co_return 42;
}

}  // namespace

TEST_CASE("bounded reader: reading past the end is an error and moves nothing")
{
    auto const bytes = from_hex("0102030405").value();
    auto reader = BoundedReader(bytes);

    CHECK(reader.take_big_endian<std::uint32_t>().value() == 0x01020304U);
    CHECK(reader.take_big_endian<std::uint16_t>().error().kind == ErrorKind::malformed);
    CHECK(reader.remaining() == 1);
}

TEST_CASE("checked integers: what does not fit is nothing")
{
    CHECK_FALSE(checked_add<std::uint32_t>(0xffffffffU, 1U));
    CHECK_FALSE(checked_multiply<std::int64_t>(INT64_MAX, 2));
    CHECK_FALSE(checked_cast<std::uint8_t>(256));
    CHECK(checked_cast<std::uint8_t>(255).value() == 255);
    CHECK_FALSE(checked_cast<std::uint32_t>(-1));
}

TEST_CASE("text: what cannot be shown is left out, and no character is cut")
{
    CHECK(printable_utf8("a\x1b[2J\nb\xff\xc3\xa4", 100) == "a[2Jb\xc3\xa4");
    CHECK(printable_utf8("ab\xc3\xa4", 3) == "ab");
    CHECK(printable_utf8("\xc3", 3).empty());
}

TEST_CASE("with_deadline: a result in time is given back")
{
    run([](Env& env) -> Task<> {
        auto const result = co_await with_deadline(env, env.deadline_in(1s), answer_after(env, 1ms));
        CHECK(result.value() == 42);
    });
}

TEST_CASE("with_deadline: a task that is too slow is unwound and reported as timed out")
{
    run([](Env& env) -> Task<> {
        auto const result = co_await with_deadline(env, env.deadline_in(5ms), answer_after(env, 1h));
        CHECK(result.error().kind == ErrorKind::timed_out);
    });
}

TEST_CASE("task scope: join unwinds what still runs, through deadlines too")
{
    run([](Env& env) -> Task<> {
        auto scope = TaskScope(env.executor());
        auto unwound = 0;
        struct Count {
            int& value;
            ~Count() { ++value; }
        };
        auto sleeper = [](Env& used, int& value) -> Task<> {
            auto const count = Count{value};
            std::ignore = co_await with_deadline(used, used.deadline_in(1h), answer_after(used, 2h));
        };
        scope.spawn("sleeper", sleeper(env, unwound));
        scope.spawn("sleeper", sleeper(env, unwound));
        co_await sleep_for(env, 1ms);

        co_await scope.join();

        CHECK(unwound == 2);
        CHECK(scope.running() == 0);
    });
}

TEST_CASE("mailbox: push waits for room and close lets the rest out")
{
    run([](Env& env) -> Task<> {
        auto box = Mailbox<int>(env.executor(), 1);
        auto scope = TaskScope(env.executor());
        auto producer = [](Mailbox<int>& target) -> Task<> {
            for (auto number = 0; number < 3; ++number) {
                CHECK(co_await target.push(number));
            }
            target.close();
        };
        scope.spawn("producer", producer(box));

        CHECK((co_await box.pop()).value() == 0);
        CHECK((co_await box.pop()).value() == 1);
        CHECK((co_await box.pop()).value() == 2);
        CHECK((co_await box.pop()).error().kind == ErrorKind::closed);
        co_await scope.join();
    });
}

TEST_CASE("real network: bytes travel both ways and half-close is seen as the end")
{
    run([](Env& env) -> Task<> {
        auto acceptor = env.network().listen({asio::ip::make_address("127.0.0.1"), 0}).value();
        auto scope = TaskScope(env.executor());
        auto server = [](Acceptor& listening) -> Task<> {
            auto socket = (co_await listening.accept()).value();
            auto buffer = Bytes(16);
            auto const count = (co_await socket->read_some(buffer)).value();
            auto const echo = ByteView(buffer).first(count);
            CHECK(co_await socket->write(echo));
            CHECK(co_await socket->close_write());
        };
        scope.spawn("server", server(*acceptor));

        auto socket = (co_await env.network().connect(acceptor->local_endpoint(), env.deadline_in(5s))).value();
        CHECK(co_await socket->write(as_view("hello")));
        auto buffer = Bytes(16);
        CHECK((co_await socket->read_some(buffer)).value() == 5);
        CHECK(as_text(ByteView(buffer).first(5)) == "hello");
        CHECK((co_await socket->read_some(buffer)).value() == 0);
        co_await scope.join();
    });
}

TEST_CASE("run_on_pool: the value comes back to the loop")
{
    run([](Env& env) -> Task<> {
        auto const value = co_await run_on_pool(env, [] { return 7 * 6; });
        CHECK(value == 42);
    });
}

TEST_CASE("real disk: write_file replaces in one step and read_file keeps its limit")
{
    run([](Env& env) -> Task<> {
        auto const folder = std::filesystem::temp_directory_path() / fmt::format("plexus-base-{}", env.random("test").next());
        CHECK(env.disk().make_folders(folder / "a", 0700));
        CHECK(env.disk().write_file(folder / "a/file", as_view("one"), 0600));
        CHECK(env.disk().write_file(folder / "a/file", as_view("three"), 0600));
        CHECK(as_text(env.disk().read_file(folder / "a/file", 10).value()) == "three");
        CHECK(env.disk().read_file(folder / "a/file", 4).error().kind == ErrorKind::too_large);
        CHECK(env.disk().status(folder / "a/file").value().mode == 0600);
        CHECK(env.disk().open(folder / "b").error().kind == ErrorKind::not_found);
        std::filesystem::remove_all(folder);
        co_return;
    });
}

TEST_CASE("real disk: a file is written at places, with room set aside, and gone on with later")
{
    run([](Env& env) -> Task<> {
        auto const folder = std::filesystem::temp_directory_path() /
                            fmt::format("plexus-base-{}", env.random("test").next());
        CHECK(env.disk().make_folders(folder, 0700));
        {
            auto const file = env.disk().create(folder / "file", 0600).value();
            CHECK(file->reserve(10));
            CHECK(file->write_at(8, as_view("tail")));
            CHECK(file->write(as_view("he")));
            CHECK(file->write(as_view("ad")));
            CHECK(file->sync());
        }
        auto const file = env.disk().open_to_write(folder / "file").value();
        CHECK(file->write(as_view("!")));
        CHECK(file->reserve(4));

        auto const bytes = env.disk().read_file(folder / "file", 100).value();

        CHECK(as_text(bytes) == std::string_view("head\0\0\0\0tail!", 13));
        CHECK(env.disk().open_to_write(folder / "other").error().kind == ErrorKind::not_found);
        std::filesystem::remove_all(folder);
        co_return;
    });
}
