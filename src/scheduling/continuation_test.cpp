#include <doctest/doctest.h>

#include "scheduling/continuation.h"

using namespace plexus;
using namespace plexus::scheduling;

namespace {

std::string said(std::string_view text)
{
    return fmt::format(R"({{"choices":[{{"index":0,"delta":{{"content":"{}"}},"finish_reason":null}}]}})", text);
}

constexpr auto question = R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":10})";

Continuation after(std::vector<std::string> chunks)
{
    auto answer = Continuation{};
    for (auto const& chunk : chunks) {
        answer.note(chunk);
    }
    return answer;
}

}  // namespace

TEST_CASE("continuation: the rest is asked for behind the text so far")
{
    auto const answer = after(
        {R"({"choices":[{"delta":{"role":"assistant","content":null}}]})", said("One, "), said("two")});

    CHECK(answer.body(question).value() ==
          R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"One, two"}],"max_tokens":8})");
}

TEST_CASE("continuation: only plain text of one answer goes on")
{
    auto const text = after({said("One")});

    CHECK(text.body(question));
    CHECK_FALSE(after({}).body(question));
    CHECK_FALSE(after({said("One"), R"({"choices":[{"delta":{"tool_calls":[]}}]})"}).body(question));
    CHECK_FALSE(after({said("One"), R"({"choices":[{"delta":{"reasoning_content":"Hm"}}]})"}).body(question));
    CHECK_FALSE(after({said("One"), R"({"choices":[{"delta":{},"finish_reason":"stop"}]})"}).body(question));
    CHECK_FALSE(after({said(std::string(max_continued_bytes + 1, 'x'))}).body(question));
    CHECK_FALSE(text.body(R"({"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}})"));
    CHECK_FALSE(text.body(R"({"messages":[{"role":"assistant","content":"O"}]})"));
    CHECK_FALSE(text.body(R"({"messages":[]})"));
    CHECK_FALSE(text.body("{"));
}
