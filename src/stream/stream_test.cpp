#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "stream/messages.h"
#include "stream/pipe.h"

using namespace plexus;
using namespace plexus::stream;

TEST_CASE("messages: what is written is read, whatever the size")
{
    auto world = sim::World(1);
    auto task = [&]() -> Task<> {
        auto [left, right] = make_pipe(world.executor());
        auto scope = TaskScope(world.executor());
        auto writer = [](ByteStream& stream) -> Task<> {
            for (std::size_t size : {0, 1, 127, 128, 20'000, 300'000}) {
                auto const message = Bytes(size, std::byte{9});
                CHECK(co_await write_message(stream, message));
            }
            CHECK(co_await stream.close_write());
        };
        scope.spawn("writer", writer(*left));
        for (std::size_t size : {0, 1, 127, 128, 20'000, 300'000}) {
            CHECK((co_await read_message(*right, 300'000)).value() == Bytes(size, std::byte{9}));
        }
        CHECK((co_await read_message(*right, 10)).error().kind == ErrorKind::closed);
        co_await scope.join();
    };
    CHECK(world.run(task()));
}

TEST_CASE("messages: over the limit, cut off and overlong lengths are errors")
{
    auto world = sim::World(1);
    auto const cases = std::map<std::string, ErrorKind>{
        {"0b", ErrorKind::too_large}, {"03aabb", ErrorKind::malformed}, {"80", ErrorKind::malformed},
        {"8000", ErrorKind::malformed}, {"ffffffffff01", ErrorKind::malformed}, {"ffffffff0f", ErrorKind::too_large}};
    for (auto const& [text, kind] : cases) {
        CAPTURE(text);
        auto task = [&]() -> Task<> {
            auto [left, right] = make_pipe(world.executor());
            auto const bytes = from_hex(text).value();
            CHECK(co_await left->write(bytes));
            CHECK(co_await left->close_write());
            CHECK((co_await read_message(*right, 10)).error().kind == kind);
        };
        CHECK(world.run(task()));
    }
}
