#include <doctest/doctest.h>

#include "scheduling/scheduling_testing.h"

using namespace plexus;
using namespace plexus::scheduling;
using namespace plexus::scheduling::testing;
using namespace std::chrono_literals;

namespace {

constexpr auto words = std::size_t{12};
constexpr auto question = R"({"messages":[{"role":"user","content":"Hi"}]})";

InferenceTask chat()
{
    auto asked = ask("tiny");
    asked.body = question;
    return asked;
}

/// What the answer says: each word once, in order, if nothing was lost or said twice.
std::string said_in(Outcome const& outcome)
{
    auto text = std::string{};
    for (auto const& chunk : outcome.chunks) {
        auto const from = chunk.find("\"content\":\"") + 11;
        text += chunk.substr(from, chunk.find('"', from) - from);
    }
    return text;
}

std::string words_to(std::size_t count)
{
    auto text = std::string{};
    for (std::size_t number = 0; number < count; ++number) {
        text += fmt::format("{} ", number);
    }
    return text;
}

/// Three devices; the two others hold the model, the second one is faster. `left` asks.
struct Failover : Mesh {
    explicit Failover(std::uint64_t seed = 1) : Mesh(3, seed)
    {
        for (auto* executor : {&right, &third}) {
            executor->runner.script = {.chunks = words, .tells_tokens = true};
            executor->catalog->set_models({model("tiny")});
        }
        right.catalog->observe(model("tiny").digest, 1000, 10'000);
    }

    Task<Outcome> ask_left() { return finish(left.env, left.scheduler->start(chat())); }
};

}  // namespace

TEST_CASE("failover: whichever word an engine ends at, the answer goes on behind it on another device")
{
    for (std::size_t word = 0; word < words; ++word) {
        auto mesh = Failover{};
        auto task = [&]() -> Task<> {
            mesh.right.runner.script.fails_at = word;
            co_await sleep_for(mesh.left.env, 1s);
            auto const outcome = co_await mesh.ask_left();
            CHECK_FALSE(outcome.error);
            CHECK(said_in(outcome) == words_to(words));
            CHECK(outcome.routes == std::vector{mesh.right.id(), mesh.third.id()});
            CHECK(mesh.third.runner.last_body.contains("plexus_said") == (word > 0));
        };
        mesh.run(task());
    }
}

TEST_CASE("failover: a device that crashes, or falls silent, is left within two seconds and its answer goes on")
{
    for (auto const is_silent : {false, true}) {
        auto mesh = Failover{};
        auto task = [&]() -> Task<> {
            mesh.right.runner.script.pause = 100ms;
            co_await sleep_for(mesh.left.env, 1s);
            auto running = mesh.left.scheduler->start(chat()).value();
            for (auto chunks = 0; chunks < 4;) {
                chunks += (co_await running->next()).value().kind == TaskEvent::Kind::chunk ? 1 : 0;
            }
            mesh.right.env.crash(is_silent);
            auto const rest = co_await finish(mesh.left.env, std::move(running));
            CHECK_FALSE(rest.error);
            CHECK(words_to(4) + said_in(rest) == words_to(words));
            CHECK(rest.took < (is_silent ? 3s : 1s));
        };
        mesh.run(task());
    }
}

TEST_CASE("failover: two devices that fail in turn finish the answer together, and after two losses each it ends")
{
    for (auto const [step, whole] : {std::pair<std::size_t, bool>{4, true}, std::pair<std::size_t, bool>{2, false}}) {
        auto mesh = Failover{};
        auto task = [&]() -> Task<> {
            mesh.right.runner.script.fails_at = step;
            mesh.third.runner.script.fails_at = step;
            co_await sleep_for(mesh.left.env, 1s);
            auto const outcome = co_await mesh.ask_left();
            CHECK(outcome.error.has_value() != whole);
            CHECK(said_in(outcome) == words_to(whole ? words : 4 * step));
            CHECK(outcome.routes.size() == 4);
            CHECK((whole || outcome.error->text.contains("no other device could go on")));
        };
        mesh.run(task());
    }
}

TEST_CASE("failover: an engine of this device that ends is started again for the rest, if nobody else has the model")
{
    auto mesh = Mesh(1);
    auto task = [&]() -> Task<> {
        mesh.left.runner.script = {.chunks = 5, .fails_at = 3, .tells_tokens = true};
        mesh.left.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(chat()));
        CHECK_FALSE(outcome.error);
        CHECK(said_in(outcome) == words_to(5));
        CHECK(mesh.left.runner.started == 2);
    };
    mesh.run(task());
}

TEST_CASE("failover: a device that has no room for the rest is passed over")
{
    auto mesh = Failover{};
    auto task = [&]() -> Task<> {
        mesh.left.catalog->set_models({model("tiny")});
        mesh.left.catalog->observe(model("tiny").digest, 2000, 20'000);
        mesh.left.runner.script = {.chunks = words, .fails_at = 3, .tells_tokens = true};
        mesh.right.runner.script.fails_at = 0;
        mesh.right.runner.script.failure = ErrorKind::too_large;
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await mesh.ask_left();
        CHECK_FALSE(outcome.error);
        CHECK(said_in(outcome) == words_to(words));
        CHECK(outcome.routes == std::vector{mesh.left.id(), mesh.right.id(), mesh.third.id()});
    };
    mesh.run(task());
}

TEST_CASE("failover: a deadline ends a task that goes on, and giving it up leaves nothing behind")
{
    auto mesh = Failover{};
    auto task = [&]() -> Task<> {
        mesh.right.runner.script.fails_at = 2;
        mesh.third.runner.script.pause = 10s;
        co_await sleep_for(mesh.left.env, 1s);
        auto asked = chat();
        asked.deadline = mesh.left.env.deadline_in(1s);
        auto const late = co_await finish(mesh.left.env, mesh.left.scheduler->start(asked));
        CHECK(late.error->kind == ErrorKind::timed_out);
        CHECK(said_in(late) == words_to(2));
        co_await sleep_for(mesh.left.env, 1s);
        CHECK(mesh.third.runner.alive == 0);
    };
    mesh.run(task());
}

TEST_CASE("failover: the whole of the answer is said once, where only its end is lost")
{
    auto mesh = Failover{};
    auto task = [&]() -> Task<> {
        mesh.right.runner.script.fails_at = words;
        mesh.right.runner.script.ends_with_reason = true;
        mesh.third.runner.script.ends_with_reason = true;
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await mesh.ask_left();
        CHECK_FALSE(outcome.error);
        CHECK(said_in(outcome) == words_to(words));
        CHECK(outcome.routes.size() == 2);
    };
    mesh.run(task());
}
