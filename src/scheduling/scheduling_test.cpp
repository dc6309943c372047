#include <doctest/doctest.h>

#include "scheduling/executor.h"
#include "scheduling/scheduling_testing.h"
#include "stream/messages.h"

using namespace plexus;
using namespace plexus::scheduling;
using namespace plexus::scheduling::testing;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> scripted_chunks(Script const& script)
{
    auto chunks = std::vector<std::string>{};
    for (std::size_t number = 0; number < script.chunks; ++number) {
        chunks.push_back(scripted_chunk(number, script.chunk_bytes));
    }
    return chunks;
}

std::string joined(std::vector<std::string> const& chunks)
{
    auto text = std::string{};
    for (auto const& chunk : chunks) {
        text += chunk;
    }
    return text;
}

/// Starts a task and takes events until `chunks` have come.
Task<std::unique_ptr<RunningTask>> begin(Device& device, std::string model_name, std::size_t chunks)
{
    auto task = device.scheduler->start(ask(std::move(model_name))).value();
    while (chunks > 0) {
        auto const event = co_await task->next();
        REQUIRE(event);
        chunks -= event->kind == TaskEvent::Kind::chunk ? 1 : 0;
    }
    co_return task;
}

}  // namespace

TEST_CASE("task: this device answers with a model of its own, and its speed is learnt")
{
    auto mesh = Mesh(1);
    auto task = [&]() -> Task<> {
        mesh.left.runner.script.chunks = 20;
        mesh.left.catalog->set_models({model("tiny")});
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK_FALSE(outcome.error);
        CHECK(outcome.chunks == scripted_chunks(mesh.left.runner.script));
        CHECK(outcome.routes == std::vector{mesh.left.id()});
        CHECK(outcome.events.front().route.model == model("tiny").digest);
        CHECK(outcome.timings.completion_tokens == 20);
        CHECK(mesh.left.runner.last_body == R"({"messages":[]})");
        auto const speed = mesh.left.catalog->who_holds("tiny").at(0).model->speed;
        CHECK(speed == catalog::Speed{{400, 1}, {100, 1}});
        CHECK(mesh.left.scheduler->running() == 0);
    };
    mesh.run(task());
}

TEST_CASE("task: another device answers with the same chunks, whatever the split of the bytes")
{
    for (auto const seed : {1U, 2U, 3U, 4U}) {
        auto mesh = Mesh(2, seed);
        mesh.world.set_split_share(seed == 1 ? 0.0 : 0.5);
        auto task = [&]() -> Task<> {
            mesh.right.runner.script = {.chunks = 30, .chunk_bytes = seed * 3000};
            mesh.right.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto asked = ask("tiny");
            asked.body = "{" + std::string(seed * 100'000, ' ') + "}";
            auto const body = asked.body;
            auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(std::move(asked)));
            CHECK_FALSE(outcome.error);
            CHECK(outcome.chunks == scripted_chunks(mesh.right.runner.script));
            CHECK(outcome.routes == std::vector{mesh.right.id()});
            CHECK(outcome.timings.prompt_tokens == 64);
            CHECK(outcome.timings.decode_per_second == 100);
            CHECK(mesh.right.runner.last_body == body);
            CHECK(mesh.left.runner.started == 0);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: every kind reaches the engine of its device, and comes back in objects or as one document")
{
    for (auto const is_local : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            auto& executor = is_local ? mesh.left : mesh.right;
            executor.runner.script = {.chunks = 7, .chunk_bytes = 50'000};
            auto able = model("tiny");
            able.capabilities = catalog::can_chat | catalog::can_embed | catalog::can_rerank;
            executor.catalog->set_models({able});
            co_await sleep_for(mesh.left.env, 1s);
            for (std::uint64_t number = 0; inference::task_kind_from(number); ++number) {
                auto const kind = inference::task_kind_from(number).value();
                CAPTURE(to_string(kind));
                auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny", kind)));
                CHECK_FALSE(outcome.error);
                CHECK(executor.runner.last_kind == kind);
                if (inference::is_streamed(kind)) {
                    CHECK(outcome.chunks == scripted_chunks(executor.runner.script));
                } else {
                    CHECK(joined(outcome.chunks) == scripted_document(kind, executor.runner.script));
                }
            }
        };
        mesh.run(task());
    }
}

TEST_CASE("task: a model that is not made for a kind is refused with one that is, before anything is asked")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        auto embedding = model("vectors");
        embedding.capabilities = catalog::can_embed;
        mesh.left.catalog->set_models({model("tiny")});
        mesh.right.catalog->set_models({embedding});
        co_await sleep_for(mesh.left.env, 1s);
        auto const refusal = [&](std::string name, TaskKind kind) {
            return mesh.left.scheduler->start(ask(std::move(name), kind)).error();
        };

        CHECK(refusal("tiny", TaskKind::embeddings) ==
              Error{ErrorKind::malformed, R"(the model "tiny" is not made for embeddings; "vectors" is)"});
        CHECK(refusal("vectors", TaskKind::chat).text == R"(the model "vectors" is not made for chat; "tiny" is)");
        CHECK(refusal("vectors", TaskKind::rerank).text == R"(the model "vectors" is not made for rerank)");
        auto asked = ask("vectors", TaskKind::embeddings);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(std::move(asked)));
        CHECK_FALSE(outcome.error);
        CHECK(outcome.routes == std::vector{mesh.right.id()});
    };
    mesh.run(task());
}

TEST_CASE("task: a document without an end is given up at its limit")
{
    for (auto const is_local : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            auto& executor = is_local ? mesh.left : mesh.right;
            executor.runner.script = {.chunks = 50, .chunk_bytes = 900'000, .pause = 1ms};
            executor.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto const outcome = co_await finish(mesh.left.env,
                                                 mesh.left.scheduler->start(ask("tiny", TaskKind::tokenize)));
            REQUIRE(outcome.error);
            CHECK(outcome.error->kind == ErrorKind::too_large);
            CHECK(joined(outcome.chunks).size() <= inference::max_document_bytes);
            co_await sleep_for(mesh.left.env, 1s);
            CHECK(executor.runner.alive == 0);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: the first chunk of another device comes at most a round trip and a half later than it was made")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.world.set_default_link({.delay = 10ms, .jitter = {}});
        mesh.right.runner.script = {.chunks = 1, .pause = 5ms};
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK(outcome.took < 30ms);
    };
    mesh.run(task());
}

TEST_CASE("task: giving up a task ends the work on the other device within a second, and here at once")
{
    for (auto const is_local : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            auto& executor = is_local ? mesh.left : mesh.right;
            executor.runner.script = {.chunks = 1000, .pause = 3s};
            executor.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto running = co_await begin(mesh.left, "tiny", 1);
            CHECK(executor.runner.alive == 1);
            CHECK(executor.scheduler->running() == 1);

            auto const given_up = mesh.world.now();
            running.reset();
            co_await sleep_for(mesh.left.env, is_local ? 1ms : 1s);

            CHECK(executor.runner.alive == 0);
            CHECK(executor.runner.last_end - given_up < 100ms);
            CHECK(executor.scheduler->running() == 0);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: giving up while the model loads, or in the queue, leaves nothing behind")
{
    auto limits = Limits{};
    limits.running = 1;
    auto mesh = Mesh(2, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script = {.loading = 1h};
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto first = mesh.left.scheduler->start(ask("tiny")).value();
        auto second = mesh.left.scheduler->start(ask("tiny")).value();
        std::ignore = co_await first->next();
        std::ignore = co_await second->next();
        co_await sleep_for(mesh.left.env, 1s);
        CHECK(mesh.right.scheduler->running() == 1);
        CHECK(mesh.right.scheduler->queued() == 1);

        second.reset();
        co_await sleep_for(mesh.left.env, 1s);
        CHECK(mesh.right.scheduler->queued() == 0);
        first.reset();
        co_await sleep_for(mesh.left.env, 1s);
        CHECK(mesh.right.scheduler->running() == 0);
        CHECK(mesh.right.runner.started == 1);
    };
    mesh.run(task());
}

TEST_CASE("task: a device that crashes in the middle of an answer is a typed error at once, a silent one within two seconds")
{
    for (auto const is_silent : {false, true}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            mesh.right.runner.script = {.chunks = 1000};
            mesh.right.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto running = co_await begin(mesh.left, "tiny", 10);
            mesh.right.env.crash(is_silent);
            auto const lost = mesh.world.now();
            auto error = std::optional<Error>{};
            while (!error) {
                auto const event = co_await running->next();
                error = event ? std::nullopt : std::optional(event.error());
            }
            CHECK(error->kind == ErrorKind::closed);
            CHECK(error->text.contains("lost in the middle of the answer"));
            CHECK(mesh.world.now() - lost < (is_silent ? 2100ms : 100ms));
            CHECK((co_await running->next()).error().kind == ErrorKind::closed);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: an engine that dies in the middle of an answer is a typed error, and the next task is served")
{
    for (auto const is_local : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            auto& executor = is_local ? mesh.left : mesh.right;
            executor.runner.script = {.chunks = 10, .fails_at = 4};
            executor.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto const failed = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
            CHECK(failed.chunks.size() == 4);
            CHECK(failed.error == Error{ErrorKind::closed, "the script says so"});

            executor.runner.script = {};
            auto const next = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
            CHECK(next.chunks.size() == 5);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: the fault of the request is not tried on another device; a device that cannot is passed over")
{
    struct Case {
        ErrorKind failure;
        bool moves;
    };
    for (auto const [failure, moves] : {Case{ErrorKind::malformed, false}, Case{ErrorKind::too_large, false},
                                        Case{ErrorKind::unavailable, true}, Case{ErrorKind::closed, true},
                                        Case{ErrorKind::not_found, true}, Case{ErrorKind::io, true}}) {
        auto mesh = Mesh(3);
        auto task = [&]() -> Task<> {
            mesh.right.catalog->set_models({model("tiny")});
            mesh.third.catalog->set_models({model("tiny")});
            mesh.right.catalog->observe(model("tiny").digest, 1000, 10'000);
            mesh.right.runner.script = {.fails_at = 0, .failure = failure};
            co_await sleep_for(mesh.left.env, 1s);
            auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
            if (moves) {
                CHECK_FALSE(outcome.error);
                CHECK(outcome.chunks.size() == 5);
                CHECK(outcome.routes == std::vector{mesh.right.id(), mesh.third.id()});
            } else {
                REQUIRE(outcome.error);
                CHECK(outcome.error->kind == failure);
                CHECK(mesh.third.runner.started == 0);
            }
        };
        mesh.run(task());
    }
}

TEST_CASE("task: an answer that has begun does not begin again on another device")
{
    auto mesh = Mesh(3);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        mesh.third.catalog->set_models({model("tiny")});
        mesh.right.catalog->observe(model("tiny").digest, 1000, 10'000);
        mesh.right.runner.script = {.chunks = 10, .fails_at = 4};
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        REQUIRE(outcome.error);
        CHECK(outcome.error->kind == ErrorKind::closed);
        CHECK(outcome.chunks.size() == 4);
        CHECK(mesh.third.runner.started == 0);
    };
    mesh.run(task());
}

TEST_CASE("task: the model loads for as long as it takes, and the requester is told all the while")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script.loading = 30s;
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK_FALSE(outcome.error);
        auto const waits = std::ranges::count_if(outcome.events, [](TaskEvent const& event) {
            return event.kind == TaskEvent::Kind::waiting && event.text == "loading the model";
        });
        CHECK(waits >= 60);
        CHECK(waits <= 80);
    };
    mesh.run(task());
}

TEST_CASE("task: tasks wait in their order, know their place, and are refused when the queue is full")
{
    auto limits = Limits{};
    limits.running = 2;
    limits.queued = 2;
    auto mesh = Mesh(2, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script = {.chunks = 100};
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto scope = TaskScope(mesh.world.executor());
        auto outcomes = std::vector<Outcome>(5);
        auto one = [&](std::size_t index) -> Task<> {
            co_await sleep_for(mesh.left.env, index * 10ms);
            outcomes[index] = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        };
        for (std::size_t index = 0; index < outcomes.size(); ++index) {
            scope.spawn("task", one(index));
        }
        co_await sleep_for(mesh.left.env, 1500ms);
        auto const seen = mesh.left.catalog->who_holds("tiny").at(0).entry.snapshot;
        CHECK(seen->running == 2);
        CHECK(seen->queued == 2);
        co_await sleep_for(mesh.left.env, 10s);
        co_await scope.join();

        for (std::size_t index = 0; index < 4; ++index) {
            CHECK_FALSE(outcomes[index].error);
            CHECK(outcomes[index].chunks.size() == 100);
        }
        REQUIRE(outcomes[4].error);
        CHECK(outcomes[4].error->kind == ErrorKind::unavailable);
        auto const told = [&](std::size_t index, std::string_view text) {
            return std::ranges::any_of(outcomes[index].events, [&](TaskEvent const& event) { return event.text == text; });
        };
        CHECK(told(2, "waiting in the queue, 0 tasks before this one"));
        CHECK(told(3, "waiting in the queue, 1 tasks before this one"));
        CHECK(outcomes[2].took > 3900ms);
    };
    mesh.run(task());
}

TEST_CASE("task: those for an engine of the owner take no place of this device's own, and have a limit too")
{
    auto limits = Limits{};
    limits.running = 1;
    limits.queued = 0;
    limits.external = 3;
    auto mesh = Mesh(1, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.left.runner.script = {.chunks = 10};
        mesh.left.runner.external = {model("theirs").digest};
        mesh.left.catalog->set_models({model("theirs"), model("ours")});
        auto scope = TaskScope(mesh.world.executor());
        auto outcomes = std::vector<Outcome>(6);
        auto one = [&](std::size_t index, std::string name) -> Task<> {
            outcomes[index] = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask(std::move(name))));
        };
        for (std::size_t index = 0; index < outcomes.size(); ++index) {
            scope.spawn("task", one(index, index < 4 ? "theirs" : "ours"));
        }
        co_await sleep_for(mesh.left.env, 100ms);
        CHECK(mesh.left.runner.alive == 4);
        CHECK(mesh.left.scheduler->running() == 4);
        CHECK(mesh.left.scheduler->queued() == 0);
        co_await sleep_for(mesh.left.env, 1s);
        co_await scope.join();

        for (auto const index : {0, 1, 2, 4}) {
            CHECK(outcomes.at(index).chunks.size() == 10);
        }
        CHECK(outcomes[3].error->kind == ErrorKind::unavailable);
        CHECK(outcomes[5].error->kind == ErrorKind::unavailable);
        CHECK(mesh.left.scheduler->running() == 0);
    };
    mesh.run(task());
}

TEST_CASE("task: one member cannot take all the places")
{
    auto limits = Limits{};
    limits.per_member = 2;
    auto mesh = Mesh(3, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.left.runner.script = {.chunks = 1000};
        mesh.left.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto const first = co_await begin(mesh.right, "tiny", 1);
        auto const second = co_await begin(mesh.right, "tiny", 1);
        auto const refused = co_await finish(mesh.left.env, mesh.right.scheduler->start(ask("tiny")));
        REQUIRE(refused.error);
        CHECK(refused.error->kind == ErrorKind::unavailable);
        CHECK(co_await begin(mesh.third, "tiny", 1));
        CHECK(co_await begin(mesh.left, "tiny", 1));
    };
    mesh.run(task());
}

TEST_CASE("task: a deadline ends it here and there")
{
    for (auto const is_local : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            auto& executor = is_local ? mesh.left : mesh.right;
            executor.runner.script = {.chunks = 1000, .pause = 100ms};
            executor.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto asked = ask("tiny");
            asked.deadline = mesh.left.env.deadline_in(3s);
            auto running = mesh.left.scheduler->start(std::move(asked)).value();
            auto error = std::optional<Error>{};
            while (!error) {
                auto const event = co_await running->next();
                error = event ? std::nullopt : std::optional(event.error());
            }
            CHECK(error->kind == ErrorKind::timed_out);
            co_await sleep_for(mesh.left.env, 100ms);
            CHECK(executor.runner.alive == 0);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: a requester that does not read stops the engine soon, and its task ends after a while")
{
    for (auto const is_local : {true, false}) {
        auto mesh = Mesh(2);
        auto task = [&]() -> Task<> {
            auto& executor = is_local ? mesh.left : mesh.right;
            executor.runner.script = {.chunks = 100'000, .chunk_bytes = 10'000, .pause = 1ms};
            executor.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            auto running = co_await begin(mesh.left, "tiny", 1);
            co_await sleep_for(mesh.left.env, 30s);
            auto const produced = executor.runner.produced;
            CHECK(produced * 10'000 < 1'500'000);
            CHECK(executor.runner.alive == 1);
            co_await sleep_for(mesh.left.env, 40s);
            CHECK(executor.runner.produced == produced);
            CHECK(executor.runner.alive == 0);
            CHECK(executor.scheduler->running() == 0);
        };
        mesh.run(task());
    }
}

TEST_CASE("task: a member that does not read gives its place back after a while")
{
    auto limits = Limits{};
    limits.running = 1;
    limits.queued = 0;
    auto mesh = Mesh(3, 1, limits);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script = {.chunks = 1000, .chunk_bytes = 10'000, .pause = 1ms};
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto running = co_await begin(mesh.left, "tiny", 1);
        co_await sleep_for(mesh.left.env, 30s);
        auto const refused = co_await finish(mesh.left.env, mesh.right.scheduler->start(ask("tiny")));
        REQUIRE(refused.error);
        CHECK(refused.error->kind == ErrorKind::unavailable);
        co_await sleep_for(mesh.left.env, 35s);
        CHECK_FALSE((co_await finish(mesh.left.env, mesh.right.scheduler->start(ask("tiny")))).error);
    };
    mesh.run(task());
}

TEST_CASE("task: a slow reader gets all chunks in the end")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.runner.script = {.chunks = 300, .chunk_bytes = 10'000, .pause = 1ms};
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto running = co_await begin(mesh.left, "tiny", 1);
        auto chunks = std::size_t{1};
        for (;;) {
            auto const event = co_await running->next();
            REQUIRE(event);
            if (event->kind == TaskEvent::Kind::finished) {
                break;
            }
            chunks += event->kind == TaskEvent::Kind::chunk ? 1 : 0;
            co_await sleep_for(mesh.left.env, 100ms);
        }
        CHECK(chunks == 300);
    };
    mesh.run(task());
}

TEST_CASE("task: a body over the limit is refused before anything is sent")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto asked = ask("tiny");
        asked.body = std::string(max_body_bytes + 1, ' ');
        CHECK(mesh.left.scheduler->start(std::move(asked)).error().kind == ErrorKind::too_large);
        auto largest = ask("tiny");
        largest.body = std::string(max_body_bytes, ' ');
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(std::move(largest)));
        CHECK_FALSE(outcome.error);
        CHECK(mesh.right.runner.last_body.size() == max_body_bytes);
    };
    mesh.run(task());
}

TEST_CASE("task: stopping ends tasks of this device and of others")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.left.runner.script = {.chunks = 1000};
        mesh.left.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto own = co_await begin(mesh.left, "tiny", 3);
        auto theirs = co_await begin(mesh.right, "tiny", 3);
        co_await mesh.left.scheduler->stop();
        CHECK(mesh.left.runner.alive == 0);
        for (auto* running : {&own, &theirs}) {
            auto event = co_await (*running)->next();
            while (event) {
                event = co_await (*running)->next();
            }
            CHECK(event.error().kind == ErrorKind::closed);
        }
        auto const late = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK(late.error->kind == ErrorKind::closed);
    };
    mesh.run(task());
}

TEST_CASE("task: a device that its owner has paused answers itself alone, and what it had begun for others")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 1s);
        auto begun = co_await begin(mesh.left, "tiny", 2);
        mesh.right.scheduler->set_paused(true);
        auto const at_once = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK(at_once.error == Error{ErrorKind::unavailable, "the device is paused by its owner"});
        co_await sleep_for(mesh.left.env, 1s);
        CHECK(mesh.left.scheduler->start(ask("tiny")).error().text.contains("its owner has paused it"));
        CHECK(mesh.left.scheduler->explain("tiny", {}).value().at(0).is_left_out);
        auto const long_prompt = mesh.right.scheduler->explain("tiny", {.prompt_tokens = 1e6}).value().at(0).prediction;
        CHECK(long_prompt.prompt > 100s);
        CHECK(long_prompt.answer > 0s);
        CHECK_FALSE((co_await finish(mesh.left.env, std::move(begun))).error);
        CHECK_FALSE((co_await finish(mesh.right.env, mesh.right.scheduler->start(ask("tiny")))).error);
        mesh.right.scheduler->set_paused(false);
        co_await sleep_for(mesh.left.env, 1s);
        CHECK_FALSE((co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")))).error);
    };
    mesh.run(task());
}

TEST_CASE("model names: as given, by alias, by digest; near ones are named; what is away is said")
{
    auto mesh = Mesh(3);
    auto task = [&]() -> Task<> {
        auto& scheduler = *mesh.left.scheduler;
        CHECK(scheduler.start(ask("tiny")).error() == Error{ErrorKind::not_found, "no device of the mesh has a model yet"});
        auto tiny = model("SmolLM2-135M");
        tiny.names.push_back("tiny");
        mesh.right.catalog->set_models({tiny});
        co_await sleep_for(mesh.left.env, 1s);

        CHECK(scheduler.start(ask("tiny")));
        CHECK(scheduler.start(ask("SmolLM2-135M")));
        CHECK(scheduler.start(ask(tiny.digest.text())));
        auto const unknown = scheduler.start(ask("smolLM2-135m")).error();
        CHECK(unknown.kind == ErrorKind::not_found);
        CHECK(unknown.text.contains("did you mean \"SmolLM2-135M\"?"));
        CHECK(scheduler.start(ask(std::string(100'000, 'x'))).error().text.size() < 100);

        mesh.left.host->disconnect(mesh.right.id());
        co_await sleep_for(mesh.left.env, 1s);
        auto const away = scheduler.start(ask("tiny")).error();
        CHECK(away.kind == ErrorKind::unavailable);
        CHECK(away.text.contains("device " + mesh.right.id().short_text() + ": it is away"));
    };
    mesh.run(task());
}

TEST_CASE("model names: of several models with one name the local one counts, else the one that most devices hold")
{
    auto mesh = Mesh(3);
    auto task = [&]() -> Task<> {
        auto const common = model("tiny", "common");
        mesh.right.catalog->set_models({common, model("tiny", "rare")});
        mesh.third.catalog->set_models({common});
        co_await sleep_for(mesh.left.env, 1s);
        auto const elsewhere = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK(elsewhere.events.at(0).route.model == common.digest);

        mesh.left.catalog->set_models({model("tiny", "own")});
        auto const here = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK(here.events.at(0).route.model == model("tiny", "own").digest);
    };
    mesh.run(task());
}

TEST_CASE("task: the same seed gives the same run, event by event")
{
    auto const trace = [](std::uint64_t seed) {
        auto mesh = Mesh(3, seed);
        auto task = [&]() -> Task<> {
            mesh.right.catalog->set_models({model("tiny")});
            mesh.third.catalog->set_models({model("tiny")});
            co_await sleep_for(mesh.left.env, 1s);
            for (auto count = 0; count < 5; ++count) {
                CHECK_FALSE((co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")))).error);
            }
        };
        mesh.run(task());
        return mesh.world.trace_hash();
    };
    CHECK(trace(11) == trace(11));
    CHECK(trace(11) != trace(12));
}

namespace {

/// A model of that name that an engine of the owner serves.
catalog::Model external(std::string name)
{
    auto made = model(name, "external " + name);
    made.is_external = true;
    return made;
}

}  // namespace

TEST_CASE("task: an engine that the owner runs goes first among equals, and a file of that name takes its place")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.left.catalog->set_models({external("tiny")});
        mesh.right.catalog->set_models({model("tiny")});
        co_await sleep_for(mesh.left.env, 2s);
        auto const asked = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK(asked.routes == std::vector{mesh.left.id()});
        mesh.left.runner.script.fails_at = 0;
        mesh.left.runner.script.failure = ErrorKind::unavailable;
        auto const replaced = co_await finish(mesh.left.env, mesh.left.scheduler->start(ask("tiny")));
        CHECK_FALSE(replaced.error);
        CHECK(replaced.routes == std::vector{mesh.left.id(), mesh.right.id()});
        auto const by_digest = ask(external("tiny").digest.text());
        auto const alone = co_await finish(mesh.left.env, mesh.left.scheduler->start(by_digest));
        CHECK(alone.error->kind == ErrorKind::unavailable);
    };
    mesh.run(task());
}

TEST_CASE("task: an answer that an engine of the owner breaks off goes on by text, without a word lost or said twice")
{
    auto mesh = Mesh(2);
    auto task = [&]() -> Task<> {
        mesh.left.catalog->set_models({external("tiny")});
        mesh.right.catalog->set_models({model("tiny")});
        mesh.left.runner.script = {.chunks = 9, .fails_at = 3, .speaks = true};
        mesh.right.runner.script = {.chunks = 2, .speaks = true};
        co_await sleep_for(mesh.left.env, 2s);
        auto asked = ask("tiny");
        asked.body = R"({"messages":[{"role":"user","content":"Hi"}]})";
        auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(asked));
        CHECK_FALSE(outcome.error);
        CHECK(outcome.routes == std::vector{mesh.left.id(), mesh.right.id()});
        CHECK(outcome.chunks.size() == 5);
        CHECK(mesh.right.runner.last_body ==
              R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"0 1 2 "}]})");
        mesh.right.runner.script.fails_at = 1;
        auto const lost = co_await finish(mesh.left.env, mesh.left.scheduler->start(asked));
        CHECK(lost.error->kind == ErrorKind::closed);
        CHECK(lost.chunks.size() == 4);
    };
    mesh.run(task());
}
