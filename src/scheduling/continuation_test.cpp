#include <doctest/doctest.h>

#include "scheduling/continuation.h"

using namespace plexus;
using namespace plexus::scheduling;

namespace {

constexpr auto question = R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":10})";

Continuation after(std::vector<Chunk> chunks)
{
    auto answer = Continuation{};
    for (auto const& chunk : chunks) {
        answer.note(chunk);
    }
    return answer;
}

Chunk by_text(std::string json)
{
    return {.json = std::move(json)};
}

Chunk said(std::string_view text, std::vector<std::uint32_t> tokens = {})
{
    return {
        .json = fmt::format(R"({{"choices":[{{"index":0,"delta":{{"content":"{}"}},"finish_reason":null}}]}})", text),
        .tokens = std::move(tokens)};
}

Chunk const finish = by_text(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})");
Chunk const usage = by_text(R"({"choices":[],"usage":{"completion_tokens":3}})");

}  // namespace

TEST_CASE("continuation: the rest is asked for behind the text so far")
{
    auto const answer = after(
        {by_text(R"({"choices":[{"delta":{"role":"assistant","content":null}}]})"), said("One, "), said("two")});

    CHECK(answer.body(question).value() ==
          R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"One, two"}],"max_tokens":8})");
}

TEST_CASE("continuation: only plain text of one answer goes on")
{
    auto const text = after({said("One")});

    CHECK(text.body(question));
    CHECK_FALSE(after({said("One"), by_text(R"({"choices":[{"delta":{"tool_calls":[]}}]})")}).body(question));
    CHECK_FALSE(after({said("One"), by_text(R"({"choices":[{"delta":{"reasoning_content":"Hm"}}]})")}).body(question));
    CHECK_FALSE(after({said("One"), by_text("{}")}).body(question));
    CHECK_FALSE(after({said("One"), finish}).body(question));
    CHECK_FALSE(after({said(std::string(max_continued_bytes + 1, 'x'))}).body(question));
    CHECK_FALSE(text.body(R"({"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}})"));
    CHECK_FALSE(text.body(R"({"messages":[{"role":"assistant","content":"O"}]})"));
    CHECK_FALSE(text.body(R"({"messages":[]})"));
    CHECK_FALSE(text.body("{"));
}

TEST_CASE("continuation: behind tokens everything goes on, again and again")
{
    constexpr auto strict = R"({"messages":[],"response_format":{"type":"json_object"}})";
    auto const call = Chunk{.json = R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})", .tokens = {7}};

    auto const first = after({said("One", {3, 5}), call}).body(strict).value();
    CHECK(first == R"({"messages":[],"response_format":{"type":"json_object"},"plexus_said":[3,5,7]})");
    CHECK(after({said("two", {9})}).body(first).value() ==
          R"({"messages":[],"response_format":{"type":"json_object"},"plexus_said":[3,5,7,9]})");
}

TEST_CASE("continuation: an answer of which nothing was said is asked for as before")
{
    CHECK(after({}).body(question).value() == question);
    CHECK(after({by_text(R"({"choices":[{"delta":{"role":"assistant","content":null}}]})")}).body(question).value() ==
          question);
}

TEST_CASE("continuation: what was said with and without tokens does not go together")
{
    CHECK_FALSE(after({said("One", {3}), said("two")}).body(question));
    CHECK_FALSE(after({said("One"), said("two", {3})}).body(question));
    CHECK_FALSE(after({said("One", std::vector<std::uint32_t>(max_continued_tokens + 1))}).body(question));
}

TEST_CASE("continuation: it knows when all but the usage was said")
{
    CHECK_FALSE(after({said("One", {3}), usage}).is_whole());
    CHECK(after({said("One", {3}), finish}).is_whole());
    CHECK_FALSE(after({said("One", {3}), finish}).timings());
    CHECK(after({said("One", {3}), finish, usage}).timings().value().completion_tokens == 3);
    CHECK(after({said("One", {3}), finish}).body(question));
    CHECK(is_usage_alone(usage.json));
    CHECK_FALSE(is_usage_alone(finish.json));
    CHECK_FALSE(is_usage_alone("["));
}
