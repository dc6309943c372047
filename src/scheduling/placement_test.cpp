#include <doctest/doctest.h>

#include "scheduling/experience.h"
#include "scheduling/scheduling_testing.h"

using namespace plexus;
using namespace plexus::scheduling;
using namespace plexus::scheduling::testing;
using namespace std::chrono_literals;

namespace {

constexpr auto work = Work{.prompt_tokens = 1000, .output_tokens = 100};

/// The candidates' numbers in the order of the choice.
std::vector<std::size_t> order(std::vector<Candidate> candidates)
{
    auto chosen = std::vector<std::size_t>{};
    for (auto const& choice : make_placement()->rank(candidates, work)) {
        CHECK_FALSE(choice.reason.empty());
        chosen.push_back(choice.candidate);
    }
    return chosen;
}

Candidate candidate(double prefill, double decode)
{
    auto made = Candidate{};
    made.is_loaded = true;
    made.slots = 1;
    made.speed.prefill = {prefill, 1};
    made.speed.decode = {decode, 1};
    return made;
}

}  // namespace

TEST_CASE("placement: the one that is ready first, by prompt and answer together; of equal ones this device")
{
    auto self = candidate(500, 50);
    self.is_self = true;
    CHECK(order({candidate(1000, 50), self, candidate(100, 400), candidate(495, 49.5)}) ==
          std::vector<std::size_t>{0, 1, 3, 2});
    CHECK(order({}).empty());
}

TEST_CASE("placement: queue, loading, travel and what is read already count")
{
    auto const plain = candidate(500, 50);
    auto busy = plain;
    busy.running = 1;
    auto cold = plain;
    cold.is_loaded = false;
    cold.model_bytes = 3'000'000'000;
    auto far = plain;
    far.round_trip = 1s;
    auto warm = plain;
    warm.known_tokens = 900;
    CHECK(order({busy, cold, far, plain, warm}) == std::vector<std::size_t>{4, 3, 2, 0, 1});
    auto const times = predict(cold, work);
    CHECK(times.load == 3100ms);
    CHECK(times.prompt == 2s);
    CHECK(times.answer == 2s);
    CHECK(times.whole() == 7100ms);
    CHECK(predict(busy, work).queue == 2s);
}

TEST_CASE("placement: numbers without sense are times all the same")
{
    auto strange = Candidate{};
    strange.running = strange.queued = UINT32_MAX;
    strange.model_bytes = UINT64_MAX;
    strange.speed.decode.per_second = 1e-300;
    strange.correction = 1e300;
    CHECK(predict(strange, {1e300, 1e300}).whole() > 0s);
    CHECK(order({strange, candidate(1, 1)}) == std::vector<std::size_t>{1, 0});
}

TEST_CASE("placement: the reason says what takes the time and what is an estimate")
{
    auto estimated = candidate(500, 50);
    estimated.speed.decode.observations = 0;
    CHECK(make_placement()->rank({candidate(500, 50)}, work).at(0).reason ==
          "4.0 s expected: 2.0 s for the prompt, 2.0 s for the answer");
    CHECK(make_placement()->rank({estimated}, work).at(0).reason.ends_with(", by an estimate of its speed"));
}

TEST_CASE("experience: answers are as long as they were, within what is asked for, and prompts as dense")
{
    auto experience = Experience{};
    auto const model_digest = model("tiny").digest;
    auto const device = PeerId{};
    CHECK(experience.work(model_digest, R"({"max_tokens":32})").output_tokens == 32);
    CHECK(experience.work(model_digest, R"({"content":"\\"max_tokens\\":7"})").output_tokens == 256);
    auto const asked = R"({"max_tokens":128})" + std::string(182, ' ');
    for (auto count = 0; count < 30; ++count) {
        experience.note(device, model_digest, {},
                        {.prompt_tokens = 100, .output_tokens = 64, .body = asked, .took = 1s});
    }
    CHECK(experience.work(model_digest, std::string(400, ' ')).prompt_tokens == 200);
    CHECK(experience.work(model_digest, R"({"max_tokens":512})").output_tokens == doctest::Approx(256).epsilon(0.01));
    CHECK(experience.work(model_digest, R"({"max_completion_tokens":8})").output_tokens ==
          doctest::Approx(4).epsilon(0.01));
    CHECK(experience.work(model_digest, "{}").output_tokens == 256);
}

TEST_CASE("experience: a device that overstates its speed is corrected, and one that keeps its word is not")
{
    auto experience = Experience{};
    auto const model_digest = model("tiny").digest;
    auto const foretold = Prediction{.answer = 1s};
    for (auto count = 0; count < 30; ++count) {
        experience.note({}, model_digest, {},
                        {.work = {1, 100},
                         .prediction = foretold,
                         .prompt_tokens = 1,
                         .output_tokens = 100,
                         .body = "{}",
                         .took = 10s});
    }
    CHECK(experience.correction({}, model_digest) == 20);
    CHECK(experience.foretold() == 0);
    auto honest = Experience{};
    honest.note({}, model_digest, {},
                {.work = {1, 100},
                 .prediction = foretold,
                 .prompt_tokens = 1,
                 .output_tokens = 50,
                 .body = "{}",
                 .took = 500ms});
    CHECK(honest.correction({}, model_digest) == doctest::Approx(1));
    CHECK(honest.foretold() == 1);
}

TEST_CASE("experience: a prompt that goes on from one before is known as far as they are the same")
{
    auto experience = Experience{};
    auto const model_digest = model("tiny").digest;
    auto const first = R"({"messages":[")" + std::string(1000, 'a');
    experience.note({}, model_digest, blocks_of(first), {});
    CHECK(experience.known_tokens({}, model_digest, blocks_of(first + std::string(500, 'b'))) == 3 * 256 / 4.0);
    CHECK(experience.known_tokens({}, model_digest,
                                  blocks_of(R"({"temperature":0,"messages":[")" + std::string(1000, 'a'))) ==
          3 * 256 / 4.0);
    CHECK(experience.known_tokens({}, model_digest, blocks_of(R"({"messages":["b)" + std::string(1000, 'a'))) == 0);
    CHECK(blocks_of(std::string(10'000'000, 'x')).size() == max_prompt_blocks);
}

namespace {

struct Asked {
    std::size_t prompt_bytes;
    std::size_t output_tokens;
};

InferenceTask question(Asked const& asked, std::uint64_t number)
{
    auto task = ask("tiny");
    task.body = fmt::format(R"({{"max_tokens":{},"messages":[{{"role":"user","content":"{} {}"}}]}})",
                            asked.output_tokens, number, std::string(asked.prompt_bytes, 'x'));
    return task;
}

Duration time_of(Device const& device, Asked const& asked)
{
    auto const& script = device.runner.script;
    auto const reading = double{1} * asked.prompt_bytes / 4 / script.prefill_per_second;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(reading)) +
           script.pause * static_cast<long>(asked.output_tokens);
}

}  // namespace

TEST_CASE("placement: of 200 varied requests 95 in 100 go where they are answered first, and their time was foretold")
{
    auto mesh = Mesh(3);
    auto task = [&]() -> Task<> {
        mesh.left.runner.script = {.pause = 20ms, .prefill_per_second = 300};
        mesh.right.runner.script = {.pause = 30ms, .prefill_per_second = 4000};
        mesh.third.runner.script = {.pause = 8ms, .prefill_per_second = 120};
        for (auto* device : {&mesh.left, &mesh.right, &mesh.third}) {
            device->catalog->set_models({model("tiny")});
            device->catalog->set_loaded({{model("tiny").digest, {.slots = 1, .busy = 0, .context = 100'000}}});
            device->catalog->observe(model("tiny").digest, device->runner.script.prefill_per_second,
                                     std::chrono::duration<double>(1s) / device->runner.script.pause);
        }
        co_await sleep_for(mesh.left.env, 2s);
        auto best = 0;
        for (std::uint64_t number = 0; number < 200; ++number) {
            auto const asked = Asked{.prompt_bytes = 40UL << (number % 9), .output_tokens = 10 + number * 37 % 300};
            auto const outcome = co_await finish(mesh.left.env, mesh.left.scheduler->start(question(asked, number)));
            REQUIRE_FALSE(outcome.error);
            auto fastest = Duration::max();
            for (auto const& device : mesh.devices) {
                fastest = std::min(fastest, time_of(*device, asked));
            }
            auto const chosen = std::ranges::find(mesh.devices, outcome.routes.front(),
                                                  [](auto const& each) { return each->id(); });
            best += time_of(**chosen, asked) <= fastest * 11 / 10 ? 1 : 0;
            co_await sleep_for(mesh.left.env, 1s);
        }
        CHECK(best >= 190);
        auto const foretold = mesh.left.scheduler->foretold();
        MESSAGE(best, " of 200 where they were fastest; ", foretold.close, " of ", foretold.all,
                " times within a quarter");
        CHECK(foretold.all == 200);
        CHECK(foretold.close >= 160);
    };
    mesh.run(task());
}
