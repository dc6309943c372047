#include <doctest/doctest.h>

#include <csignal>

#include "integration/engine_testing.h"

using namespace plexus;
using namespace plexus::inference;
using namespace std::chrono_literals;

namespace {

constexpr auto question =
    R"({"messages":[{"role":"user","content":"Name three colours"}],"temperature":0,"max_tokens":48,"stream":true,)"
    R"("stream_options":{"include_usage":true}})";

Task<Result<std::string>> answer_text(Generation& answer)
{
    auto text = std::string{};
    for (;;) {
        auto chunk = co_await answer.next();
        if (!chunk) {
            co_return std::unexpected(chunk.error());
        }
        if (!*chunk) {
            co_return text;
        }
        text += **chunk + "\n";
    }
}

struct Device : EngineDevice {
    explicit Device(std::uint64_t memory_limit_bytes = 4ULL << 30)
        : EngineDevice({.memory_limit_bytes = memory_limit_bytes})
    {
    }

    /// Why the engine does not start.
    std::string refusal()
    {
        auto reason = std::string{};
        auto task = [&]() -> Task<> {
            auto const answer = co_await inference->start({}, TaskKind::chat, question, {});
            REQUIRE_FALSE(answer);
            CHECK(answer.error().kind == ErrorKind::unavailable);
            reason = answer.error().text;
        };
        run(task());
        return reason;
    }
};

}  // namespace

TEST_CASE("engine: a real model answers, with its measured speeds")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const start = device.env.now();
        auto answer = (co_await device.inference->start({}, TaskKind::chat, question, {})).value();
        MESSAGE("ready after ms: " << std::chrono::duration_cast<std::chrono::milliseconds>(device.env.now() - start).count());
        auto const text = co_await answer_text(*answer);
        REQUIRE(text);
        CHECK(text->contains("chat.completion.chunk"));
        CHECK(answer->timings().completion_tokens > 5);
        CHECK(answer->timings().decode_per_second > 0);
        MESSAGE("decode tokens/s: " << answer->timings().decode_per_second);
    };
    device.run(task());
}

TEST_CASE("engine: a request that is no chat body is refused in words and harms nothing")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        for (auto const* body : {"{}", "[]", "nonsense", R"({"messages":"x"})"}) {
            auto answer = (co_await device.inference->start({}, TaskKind::chat, body, {})).value();
            auto const text = co_await answer_text(*answer);
            REQUIRE_FALSE(text);
            CHECK_FALSE(text.error().text.empty());
        }
        auto answer = (co_await device.inference->start({}, TaskKind::chat, question, {})).value();
        CHECK((co_await answer_text(*answer)).has_value());
    };
    device.run(task());
}

TEST_CASE("engine: a dropped answer frees its slot within a second")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const endless = R"({"messages":[{"role":"user","content":"Count"}],"max_tokens":1500,"ignore_eos":true,"stream":true})";
        for (auto round = 0; round < 4; ++round) {
            auto answer = (co_await device.inference->start({}, TaskKind::chat, endless, {})).value();
            REQUIRE((co_await answer->next()).has_value());
        }
        auto const start = device.env.now();
        auto answer = (co_await device.inference->start({}, TaskKind::chat, question, {})).value();
        REQUIRE((co_await answer->next()).has_value());
        CHECK(device.env.now() - start < 1s);
    };
    device.run(task());
}

TEST_CASE("engine: killed in mid-answer fifty times, every answer ends in a typed error and the next one is served")
{
    auto device = Device{};
    auto typed = 0;
    auto task = [&]() -> Task<> {
        for (auto round = 0; round < 50; ++round) {
            auto started = co_await device.inference->start({}, TaskKind::chat, question, {});
            REQUIRE(started);
            auto answer = std::move(*started);
            REQUIRE((co_await answer->next()).has_value());
            auto const killed = device.env.now();
            ::kill(device.inference->process_of({}), SIGKILL);
            auto const text = co_await answer_text(*answer);
            typed += !text && text.error().kind == ErrorKind::closed && device.env.now() - killed < 1s ? 1 : 0;
        }
        auto answer = (co_await device.inference->start({}, TaskKind::chat, question, {})).value();
        CHECK((co_await answer_text(*answer)).has_value());
    };
    device.run(task());
    CHECK(typed == 50);
}

TEST_CASE("sandbox: an engine gets no more memory than it may have, and ends as a typed error" *
          doctest::skip(!sandbox::Launcher::can_limit_memory))
{
    auto device = Device(48ULL << 20);
    CHECK_FALSE(device.refusal().empty());
}
