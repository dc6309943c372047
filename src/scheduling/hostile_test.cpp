#include <doctest/doctest.h>

#include "scheduling/executor.h"
#include "scheduling/scheduling_testing.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::scheduling;
using namespace plexus::scheduling::testing;
using namespace std::chrono_literals;

namespace {

Task<std::unique_ptr<host::Stream>> open_by_hand(Device& from, Device& to)
{
    auto const deadline = from.env.deadline_in(10s);
    co_return (co_await from.host->open_stream(to.id(), std::string(task_protocol), deadline)).value();
}

/// What the executor answers to the bytes of a Start.
Task<Result<Reply>> answer_to(host::Stream& stream, Bytes start)
{
    auto const written = co_await stream.write(start);
    if (!written) {
        co_return std::unexpected(written.error());
    }
    auto const message = co_await stream::read_message(stream, max_reply_bytes);
    if (!message) {
        co_return std::unexpected(message.error());
    }
    co_return ReplyReader{}.take(*message);
}

Bytes good_start()
{
    auto start = Start{};
    start.model = model("tiny").digest;
    start.body = "{}";
    return encode(start);
}

}  // namespace

TEST_CASE("hostile executor: every wrong answer is a lost device, never a wrong chunk")
{
    auto const accepted = Reply(Accepted{});
    auto const scripts = std::vector<std::vector<Bytes>>{
        {encode(Chunk{0, "{}"})},                                               // before Accepted
        {encode(Done{})},                                                       // before Accepted
        {encode(accepted), encode(accepted)},                                   // twice
        {encode(accepted), encode(Chunk{1, "{}"})},                             // a gap
        {encode(accepted), encode(Chunk{0, "{}"}), encode(Chunk{0, "{}"})},     // twice
        {encode(accepted), Bytes(max_reply_bytes + 1)},                         // oversized
        {encode(accepted), encode(Chunk{0, std::string(max_chunk_bytes + 1, 'x')})},
        {encode(accepted), to_bytes("\xff\xff\xff\xff")},                       // garbage
        {encode(accepted), Bytes{}},                                            // says nothing
        {encode(accepted)},                                                     // and ends
        {},
    };
    for (auto const& script : scripts) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            mesh.right.catalog->set_models({model("tiny")});
            auto serve = [&script](std::unique_ptr<host::Stream> stream) -> Task<> {
                std::ignore = co_await stream::read_message(*stream, max_start_bytes);
                for (auto const& message : script) {
                    std::ignore = co_await stream::write_message(*stream, message);
                }
                std::ignore = co_await stream->close_write();
            };
            mesh.right.host->handle(std::string(task_protocol), host::Admission::member, serve);
            co_await sleep_for(mesh.left.env, 1s);
            auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
            REQUIRE(outcome.error);
            CHECK(outcome.error->kind == ErrorKind::closed);
            CHECK(outcome.chunks.size() <= 1);
            CHECK(outcome.took < 1s);
        };
        mesh.run(task());
    }
}

TEST_CASE("hostile executor: one that takes the task and says no more is left after two seconds for another device")
{
    auto mesh = Mesh(3);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        mesh.third.catalog->set_models({model("tiny")});
        mesh.right.catalog->observe(model("tiny").digest, 1000, 10'000);
        auto const silent = [&mesh](std::unique_ptr<host::Stream> stream) -> Task<> {
            auto const message = encode(Reply(Accepted{}));
            std::ignore = co_await stream::write_message(*stream, message);
            co_await sleep_for(mesh.right.env, 1min);
        };
        mesh.right.host->handle(std::string(task_protocol), host::Admission::member, silent);
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK_FALSE(outcome.error);
        CHECK(outcome.routes == std::vector{mesh.right.id(), mesh.third.id()});
        CHECK(outcome.took > 2s);
        CHECK(outcome.took < 2500ms);
    };
    mesh.run(task());
}

TEST_CASE("hostile executor: what its failures say is made harmless, and unknown kinds are told as a lost device")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        auto const serve = [](std::unique_ptr<host::Stream> stream) -> Task<> {
            auto const message = encode(Reply(Failed{{ErrorKind::not_allowed, "\x1b[2J\nbad " + std::string(10'000, 'x')}}));
            std::ignore = co_await stream::write_message(*stream, message);
            std::ignore = co_await stream->close_write();
        };
        mesh.right.host->handle(std::string(task_protocol), host::Admission::member, serve);
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        REQUIRE(outcome.error);
        CHECK(outcome.error->kind == ErrorKind::closed);
        CHECK(outcome.error->text.starts_with("[2Jbad xxx"));
        CHECK(outcome.error->text.size() <= max_error_bytes);
    };
    mesh.run(task());
}

TEST_CASE("hostile requester: what is no Start is refused with its reason and costs nothing")
{
    struct Case {
        Bytes bytes;
        std::optional<ErrorKind> told;
    };
    auto const cases = std::vector<Case>{
        {stream::frame_message(to_bytes("\xff\xff\xff")), ErrorKind::malformed},
        {stream::frame_message(Bytes(20'000, std::byte{0x0b})), ErrorKind::malformed},
        {to_bytes("\xff\xff\xff\x7f"), ErrorKind::too_large},
        {to_bytes("\xff\xff\xff\xff\xff\xff"), ErrorKind::malformed},
    };
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        for (auto const& attack : cases) {
            auto stream = co_await open_by_hand(mesh.left, mesh.right);
            auto const reply = co_await answer_to(*stream, attack.bytes);
            REQUIRE(reply);
            REQUIRE(std::holds_alternative<Failed>(*reply));
            CHECK(std::get<Failed>(*reply).error.kind == attack.told);
        }
        CHECK(mesh.right.runner.started == 0);
        co_await sleep_for(mesh.left.env, 1s);
        CHECK_FALSE((co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")))).error);
    };
    mesh.run(task());
}

TEST_CASE("hostile requester: a word after Start, or an end, cancels the task")
{
    for (auto const says_more : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            mesh.right.runner.script = {.chunks = 1000};
            auto stream = co_await open_by_hand(mesh.left, mesh.right);
            auto const reply = co_await answer_to(*stream, stream::frame_message(good_start()));
            REQUIRE(reply);
            CHECK(std::holds_alternative<Accepted>(*reply));
            CHECK(mesh.right.runner.alive == 1);
            if (says_more) {
                auto const more = stream::frame_message(good_start());
                CHECK(co_await stream->write(more));
            } else {
                CHECK(co_await stream->close_write());
            }
            co_await sleep_for(mesh.left.env, 100ms);
            CHECK(mesh.right.runner.alive == 0);
            CHECK(mesh.right.scheduler->running() == 0);
        };
        mesh.run(task());
    }
}

TEST_CASE("hostile requester: one that stays beyond the limit it named is told so")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script = {.chunks = 1000, .pause = 1h};
        auto start = Start{};
        start.limit = 3s;
        auto stream = co_await open_by_hand(mesh.left, mesh.right);
        auto const begin = mesh.world.now();
        auto const first = co_await answer_to(*stream, stream::frame_message(encode(start)));
        REQUIRE(first);
        auto reader = ReplyReader{};
        auto reply = reader.take(encode(*first));
        while (reply && !std::holds_alternative<Failed>(*reply)) {
            auto const message = co_await stream::read_message(*stream, max_reply_bytes);
            REQUIRE(message);
            reply = reader.take(*message);
        }
        REQUIRE(reply);
        CHECK(std::get<Failed>(*reply).error.kind == ErrorKind::timed_out);
        CHECK(mesh.world.now() - begin < 3100ms);
        CHECK(mesh.right.runner.alive == 0);
    };
    mesh.run(task());
}

TEST_CASE("hostile requester: Starts that never come whole are few, end after a while, and leave room for others")
{
    auto limits = Limits{};
    limits.opening = 4;
    auto mesh = Mesh(2, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto streams = std::vector<std::unique_ptr<host::Stream>>{};
        auto const half = to_bytes("\xff\xff\xff\x02half");
        for (auto count = 0; count < 4; ++count) {
            streams.push_back(co_await open_by_hand(mesh.left, mesh.right));
            CHECK(co_await streams.back()->write(half));
        }
        co_await sleep_for(mesh.left.env, 1s);
        auto const refused = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        REQUIRE(refused.error);
        CHECK(refused.error->kind == ErrorKind::unavailable);
        co_await sleep_for(mesh.left.env, start_limit);
        CHECK_FALSE((co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")))).error);
        for (auto const& stream : streams) {
            CHECK_FALSE(co_await stream->write(half));
        }
    };
    mesh.run(task());
}

TEST_CASE("hostile requester: bodies of all tasks together stay below their limit")
{
    auto limits = Limits{};
    limits.running = 1;
    limits.body_bytes = 1'000'000;
    auto mesh = Mesh(2, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script = {.chunks = 1000};
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto tasks = std::vector<std::unique_ptr<RunningTask>>{};
        auto taken = 0;
        for (auto count = 0; count < 8; ++count) {
            auto asked = ask("tiny");
            asked.body = std::string(300'000, ' ');
            tasks.push_back(mesh.left.scheduler->start(std::move(asked)).value());
            auto const event = co_await tasks.back()->next();
            taken += event ? 1 : 0;
            CHECK((event || event.error().kind == ErrorKind::unavailable));
        }
        CHECK(taken == 3);
        tasks.clear();
        co_await sleep_for(mesh.left.env, 1s);
        CHECK(mesh.right.scheduler->running() == 0);
    };
    mesh.run(task());
}
