#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/openai_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

Step tool_delta(std::string_view fields)
{
    return chunk(fmt::format(
        R"({{"id":"chatcmpl-1","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,{}}}]}},"finish_reason":null}}]}})",
        fields));
}

/// The body of the one task that a request with these fields made.
json::value task_of(std::string_view fields)
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};
    auto const reply = fixture.ask(chat(fields));
    CHECK_MESSAGE(reply.status == 200, reply.body);
    REQUIRE(fixture.answers.tasks.size() == 1);
    return json::parse(fixture.answers.tasks[0].body);
}

constexpr auto two_tools = std::string_view(R"("tools":[{"type":"function","function":{"name":"find"}},)"
                                            R"({"type":"function","function":{"name":"open"}}])");

}  // namespace

TEST_CASE("chat: several choices are tasks one after another, in one answer with the usage of all")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), usage(), finished()};
    fixture.answers.further_steps = {{content("Blue"), usage(), finished()}};

    auto const body = body_of(fixture.ask(chat(R"("n":2,"seed":7)")));

    CHECK(body.at("choices").as_array().size() == 2);
    CHECK(body.at_pointer("/choices/0/message/content") == "Red");
    CHECK(body.at_pointer("/choices/1/message/content") == "Blue");
    CHECK(body.at_pointer("/choices/1/index") == 1);
    CHECK(body.at_pointer("/usage/prompt_tokens") == 3);
    CHECK(body.at_pointer("/usage/completion_tokens") == 4);
    CHECK(body.at_pointer("/usage/total_tokens") == 7);
    REQUIRE(fixture.answers.tasks.size() == 2);
    CHECK(json::parse(fixture.answers.tasks[0].body).at("seed") == 7);
    CHECK(json::parse(fixture.answers.tasks[1].body).at("seed") == 8);
    CHECK(!json::parse(fixture.answers.tasks[1].body).as_object().contains("n"));
}

TEST_CASE("chat: streamed choices carry their index and one id, and usage comes once")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), usage(), finished()};
    fixture.answers.further_steps = {
        {chunk(R"({"id":"chatcmpl-2","choices":[{"index":0,"delta":{"content":"Blue"}}]})"), usage(), finished()}};

    auto const events = events_of(fixture.ask(chat(R"("n":2,"stream":true,"stream_options":{"include_usage":true})")));

    REQUIRE(events.size() == 4);
    CHECK(json::parse(events[0]).at_pointer("/choices/0/index") == 0);
    CHECK(json::parse(events[1]).at_pointer("/choices/0/index") == 1);
    CHECK(json::parse(events[1]).at("id") == "chatcmpl-1");
    CHECK(json::parse(events[2]).at("choices").as_array().empty());
    CHECK(json::parse(events[2]).at_pointer("/usage/completion_tokens") == 4);
    CHECK(events[3] == "[DONE]");
    CHECK(fixture.answers.running == 0);
}

TEST_CASE("chat: a choice that fails ends the whole answer")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), finished()};
    fixture.answers.further_steps = {{failure(ErrorKind::closed, "the engine ended")}};

    auto const reply = fixture.ask(chat(R"("n":3)"));

    CHECK(reply.status == 503);
    CHECK(error_code_of(reply) == "device_lost");
    CHECK(fixture.answers.tasks.size() == 2);
}

TEST_CASE("chat: id, type and name of a streamed tool call are told once")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        tool_delta(R"("id":"call_1","type":"function","function":{"name":"find"})"),
        tool_delta(R"("id":"call_1","type":"function","function":{"name":"find","arguments":"{\"q\":"})"),
        tool_delta(R"("id":"","function":{"name":"","arguments":"1}"})"), finished()};

    auto const events = events_of(fixture.ask(chat(R"("stream":true)")));

    REQUIRE(events.size() == 4);
    auto const call = [&](std::size_t place) {
        return json::parse(events[place]).at_pointer("/choices/0/delta/tool_calls/0").as_object();
    };
    CHECK(call(0).at("id") == "call_1");
    CHECK(call(0).at("type") == "function");
    CHECK(call(0).at("function").at("name") == "find");
    for (auto const place : {1, 2}) {
        CHECK(!call(place).contains("id"));
        CHECK(!call(place).contains("type"));
        CHECK(!call(place).at("function").as_object().contains("name"));
    }
    CHECK(call(1).at("function").at("arguments") == "{\"q\":");
    CHECK(call(2).at("function").at("arguments") == "1}");
}

TEST_CASE("chat: allowed tools are the only ones left")
{
    auto const allowed = std::string(two_tools) +
                         R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto",)"
                         R"("tools":[{"type":"function","function":{"name":"open"}}]}})";

    auto const body = task_of(allowed);

    CHECK(body.at("tools").as_array().size() == 1);
    CHECK(body.at_pointer("/tools/0/function/name") == "open");
    CHECK(body.at("tool_choice") == "auto");
}

TEST_CASE("chat: what engines do not know is accepted and left out, or put in words that they know")
{
    auto const body = task_of(R"("store":true,"metadata":{"a":"b"},"service_tier":"auto","modalities":["text"],)"
                              R"("reasoning_effort":"minimal","logprobs":true,"n_cmpl":4,"prompt_cache_key":"x")");

    CHECK(!body.as_object().contains("store"));
    CHECK(!body.as_object().contains("metadata"));
    CHECK(!body.as_object().contains("n_cmpl"));
    CHECK(body.at("reasoning_effort") == "low");
    CHECK(body.at("top_logprobs") == 1);
    CHECK(task_of(R"("reasoning_effort":"xhigh")").at("reasoning_effort") == "high");
    CHECK(task_of(R"("reasoning_effort":"none")").at("reasoning_effort") == "none");
    CHECK(task_of(R"("logit_bias":{"15":-100})").at_pointer("/logit_bias/15") == -100);
}

TEST_CASE("chat: pictures and sound of the message itself pass, addresses are refused with a sentence")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};
    auto const asking = [&](std::string_view part) {
        return fixture.ask(
            request("POST", "/v1/chat/completions",
                    fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":[{}]}}]}})", part)));
    };

    CHECK(asking(R"({"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}})").status == 200);
    CHECK(asking(R"({"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}})").status == 200);
    for (auto const url : {"https://example.com/cat.png", "file:///etc/passwd", "AAAA"}) {
        auto const reply = asking(fmt::format(R"({{"type":"image_url","image_url":{{"url":"{}"}}}})", url));
        CHECK(reply.status == 400);
        CHECK(body_of(reply).at_pointer("/error/param") == "messages[0].content.image_url.url");
        CHECK(reply.body.find("data URLs") != std::string::npos);
    }
    CHECK(asking(R"({"type":"media_marker"})").status == 400);
    CHECK(asking(R"({"type":"file","file":{"file_id":"x"}})").status == 400);
    CHECK(asking(R"({"type":"input_audio","input_audio":{"data":"AAAA","format":"midi"}})").status == 400);
    CHECK(asking(R"({"type":"input_audio"})").status == 400);
    CHECK(fixture.answers.tasks.size() == 2);
}

TEST_CASE("chat: unknown words and broken structures are refused with the field at fault")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view fields, std::string_view param) {
        auto const body = fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":"x"}}],{}}})", fields);
        check_refused(fixture, "/v1/chat/completions", body, param);
    };
    auto const schema = [](std::string_view text) {
        return fmt::format(R"("response_format":{{"type":"json_schema","json_schema":{{"name":"x","schema":{}}}}})",
                           text);
    };
    auto deep = std::string(R"({"type":"object"})");
    for (auto level = 0; level < 22; ++level) {
        deep = R"({"properties":{"a":)" + deep + "}}";
    }

    refused(R"("reasoning_effort":"a lot")", "reasoning_effort");
    refused(R"("reasoning_effort":3)", "reasoning_effort");
    refused(R"("service_tier":"gold")", "service_tier");
    refused(R"("verbosity":"chatty")", "verbosity");
    refused(R"("modalities":["text","audio"])", "modalities");
    refused(R"("functions":[])", "functions");
    refused(R"("logit_bias":[1])", "logit_bias");
    refused(R"("logit_bias":{"hello":1})", "logit_bias");
    refused(R"("logit_bias":{"1":"much"})", "logit_bias");
    refused(R"("logit_bias":{"1":101})", "logit_bias");
    refused(R"("logit_bias":{"-1":1})", "logit_bias");
    refused(R"("top_logprobs":3)", "top_logprobs");
    refused(std::string(two_tools) + R"(,"logprobs":true)", "logprobs");
    refused(R"("response_format":{"type":"json_schema"})", "response_format.json_schema");
    refused(schema("[]"), "response_format");
    refused(schema(deep), "response_format");
    refused(schema(R"({"$ref":"https://example.com/schema"})"), "response_format");
    refused(R"("tools":[{"type":"function","function":{"name":"f","parameters":"none"}}])", "tools");
    refused(R"("tool_choice":{"type":"allowed_tools"})", "tool_choice");
    refused(std::string(two_tools) +
                R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"some","tools":[{}]}})",
            "tool_choice");
    refused(R"("chat_template_kwargs":7)", "chat_template_kwargs");
    refused(R"("max_tokens":-1)", "max_tokens");
    refused(R"("max_tokens":1e300)", "max_tokens");
    CHECK(fixture.answers.tasks.empty());
}
