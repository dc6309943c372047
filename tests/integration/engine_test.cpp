#include <doctest/doctest.h>

#include <csignal>

#include <boost/json.hpp>

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
        text += (*chunk)->text + "\n";
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

namespace {

/// What the parts say, each kind of text by itself, and what the last of them tell.
struct Said {
    std::string content{}, reasoning{}, calls{}, reason{};
    std::int64_t prompt_tokens = 0, completion_tokens = 0;

    std::string text() const
    {
        return fmt::format("{}|{}|{}|{}|{}+{}", reasoning, content, calls, reason, prompt_tokens, completion_tokens);
    }

    void add(std::string const& part)
    {
        auto const chunk = boost::json::parse(part);
        if (auto const* usage = chunk.as_object().if_contains("usage")) {
            prompt_tokens = usage->at("prompt_tokens").as_int64();
            completion_tokens = usage->at("completion_tokens").as_int64();
        }
        for (auto const& choice : chunk.at("choices").as_array()) {
            auto const& delta = choice.at("delta").as_object();
            add(content, delta, "content");
            add(reasoning, delta, "reasoning_content");
            if (auto const* all = delta.if_contains("tool_calls")) {
                for (auto const& call : all->as_array()) {
                    auto const& function = call.at("function").as_object();
                    calls += calls.empty() && function.contains("name") ? function.at("name").as_string().c_str() : "";
                    add(calls, function, "arguments");
                }
            }
            reason = choice.at("finish_reason").is_null() ? "" : choice.at("finish_reason").as_string().c_str();
        }
    }

    static void add(std::string& text, boost::json::object const& delta, char const* name)
    {
        if (auto const* more = delta.if_contains(name); more != nullptr && more->is_string()) {
            text += more->as_string();
        }
    }
};

Task<std::vector<inference::Part>> parts_of(Device& device, boost::json::object body)
{
    auto answer = (co_await device.inference->start({}, TaskKind::chat, boost::json::serialize(body), {})).value();
    auto parts = std::vector<inference::Part>{};
    while (auto part = (co_await answer->next()).value()) {
        parts.push_back(std::move(*part));
    }
    co_return parts;
}

std::string text_of(std::vector<inference::Part> const& parts)
{
    auto said = Said{};
    for (auto const& part : parts) {
        said.add(part.text);
    }
    return said.text();
}

/// Cuts the answer behind each of its parts that has tokens, or each one of `step`: what is said before, and then by an engine
/// that goes on.
Task<std::vector<std::string>> cut_everywhere(Device& device, boost::json::object asked,
                                              std::vector<inference::Part> whole, std::ptrdiff_t step = 1)
{
    auto both = std::vector<std::string>{};
    asked["plexus_said"] = boost::json::array{};
    for (auto cut = whole.begin(); cut != whole.end() && !cut->tokens.empty(); ++cut) {
        auto& said = asked.at("plexus_said").as_array();
        said.insert(said.end(), cut->tokens.begin(), cut->tokens.end());
        if ((cut - whole.begin()) % step != 0) {
            continue;
        }
        auto parts = std::vector(whole.begin(), cut + 1);
        std::ranges::move(co_await parts_of(device, asked), std::back_inserter(parts));
        both.push_back(text_of(parts));
    }
    co_return both;
}

boost::json::object asked_for(std::string_view body)
{
    auto asked = boost::json::parse(body).as_object();
    asked["cache_prompt"] = false;  // an engine elsewhere has read nothing yet
    asked["stream_options"] = {{"include_usage", true}};
    return asked;
}

constexpr auto colours =
    R"({"messages":[{"role":"user","content":"Name three colours"}],"max_tokens":60,"response_format":{"type":"json_schema",)"
    R"("json_schema":{"name":"colours","strict":true,"schema":{"type":"object","properties":{"colours":{"type":"array",)"
    R"("minItems":3,"maxItems":3,"items":{"enum":["red","green","blue","yellow","black"]}}},"required":["colours"],)"
    R"("additionalProperties":false}}}})";

}  // namespace

TEST_CASE("engine: cut behind any token, a chat goes on to the same words, the same end and the same count")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto story = asked_for(
            R"({"messages":[{"role":"user","content":"Tell a story of a fox"}],"temperature":0,"max_tokens":65})");
        auto strict = asked_for(colours);
        strict["temperature"] = 0;
        auto seeded = story;
        seeded["temperature"] = 1;
        seeded["seed"] = 7;
        auto const every = std::getenv("PLEXUS_FAILOVER_ALL") != nullptr ? 1 : 5;
        for (auto const& [asked, step] : {std::pair(story, every), std::pair(strict, 1), std::pair(seeded, 2 * every)}) {
            auto const whole = co_await parts_of(device, asked);
            auto const all = co_await cut_everywhere(device, asked, whole, step);
            CHECK(all.size() >= 7);
            for (auto const& both : all) {
                CHECK(both == text_of(whole));
            }
        }
    };
    device.run(task());
}

TEST_CASE("engine: an answer that is another each time goes on in the form that is prescribed, and is counted whole")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const asked = asked_for(colours);
        for (auto const& both : co_await cut_everywhere(device, asked, co_await parts_of(device, asked))) {
            auto const from = both.find('|') + 1;
            auto code = boost::system::error_code{};
            auto const document = boost::json::parse(both.substr(from, both.find('|', from) - from), code);
            CHECK_FALSE(code);
            CHECK(document.at("colours").as_array().size() == 3);
        }
        auto story = asked_for(
            R"({"messages":[{"role":"user","content":"Tell a story"}],"max_tokens":100,"ignore_eos":true})");
        for (auto const& both : co_await cut_everywhere(device, story, co_await parts_of(device, story), 20)) {
            CHECK(both.contains("|length|"));
            CHECK(both.ends_with("+100"));
        }
    };
    device.run(task());
}

TEST_CASE("engine: tokens that the model does not have are the fault of the request")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        for (auto const* said : {"[-1]", "[1000000000]", R"(["a"])", "[1.5]", R"({"a":-7})"}) {
            auto body = boost::json::parse(question).as_object();
            body["plexus_said"] = boost::json::parse(said);
            auto answer =
                (co_await device.inference->start({}, TaskKind::chat, boost::json::serialize(body), {})).value();
            CHECK((co_await answer->next()).error().kind == ErrorKind::malformed);
        }
    };
    device.run(task());
}

TEST_CASE("sandbox: an engine gets no more memory than it may have, and ends as a typed error" *
          doctest::skip(!sandbox::Launcher::can_limit_memory))
{
    auto device = Device(48ULL << 20);
    CHECK_FALSE(device.refusal().empty());
}
