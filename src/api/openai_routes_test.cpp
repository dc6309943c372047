#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/openai_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

TEST_CASE("chat: a plain answer is put together from the stream")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        routed("gaming-pc"), content("Red, "), content("green"),
        chunk(R"({"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"), usage(), finished()};

    auto const reply = fixture.ask(chat());

    CHECK(reply.status == 200);
    CHECK(reply.header("content-type") == "application/json");
    CHECK(reply.header("plexus-route") == "gaming-pc");
    CHECK(reply.header("plexus-model-digest") == "abcd");
    auto const body = body_of(reply);
    CHECK(body.at("object") == "chat.completion");
    CHECK(body.at("id") == "chatcmpl-1");
    CHECK(body.at_pointer("/choices/0/message/role") == "assistant");
    CHECK(body.at_pointer("/choices/0/message/content") == "Red, green");
    CHECK(body.at_pointer("/choices/0/finish_reason") == "stop");
    CHECK(body.at_pointer("/usage/total_tokens") == 5);
}

TEST_CASE("chat: tool calls of a stream are put together, arguments piece by piece")
{
    auto fixture = ApiFixture();
    auto const call = [](std::string_view fields) {
        return chunk(fmt::format(R"({{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,{}}}]}}}}]}})", fields));
    };
    fixture.answers.steps = {call(R"("id":"call_1","type":"function","function":{"name":"find","arguments":""})"),
                             call(R"("function":{"arguments":"{\"q\":"})"), call(R"("function":{"arguments":"1}"})"),
                             finished()};

    auto const body = body_of(fixture.ask(chat()));

    auto const& made = body.at_pointer("/choices/0/message/tool_calls/0");
    CHECK(made.at("id") == "call_1");
    CHECK(made.at_pointer("/function/name") == "find");
    CHECK(made.at_pointer("/function/arguments") == "{\"q\":1}");
    CHECK(body.at_pointer("/choices/0/message/content").is_null());
}

TEST_CASE("chat: a stream passes the chunks on and ends with [DONE]")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {routed("gaming-pc"), content("Red"), content("green"), usage(), finished()};

    auto const reply = fixture.ask(chat(R"("stream":true)"));

    CHECK(reply.status == 200);
    CHECK(reply.header("content-type") == "text/event-stream; charset=utf-8");
    CHECK(reply.header("plexus-route") == "gaming-pc");
    auto const events = events_of(reply);
    REQUIRE(events.size() == 3);
    CHECK(events[0] == content("Red").event.text);
    CHECK(events[2] == "[DONE]");
}

TEST_CASE("chat: usage comes in a last chunk only if the client asked for it")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), usage(), finished()};

    auto const events = events_of(fixture.ask(chat(R"("stream":true,"stream_options":{"include_usage":true})")));

    REQUIRE(events.size() == 3);
    CHECK(json::parse(events[1]).at("choices").as_array().empty());
    CHECK(json::parse(events[1]).at_pointer("/usage/prompt_tokens") == 3);
}

TEST_CASE("chat: the task streams and reports usage whatever the client asked for; the rest of the body stays")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};

    fixture.ask(chat(
        R"("temperature":0,"seed":7,"stop":["\n"],"max_tokens":32000,"tools":[{"type":"function","function":{"name":"find"}}],"mine":1)"));

    REQUIRE(fixture.answers.tasks.size() == 1);
    auto const body = json::parse(fixture.answers.tasks[0].body);
    CHECK(body.at("stream") == true);
    CHECK(body.at_pointer("/stream_options/include_usage") == true);
    CHECK(body.at("temperature") == 0);
    CHECK(body.at("seed") == 7);
    CHECK(body.at("max_tokens") == 32000);
    CHECK(body.at_pointer("/stop/0") == "\n");
    CHECK(body.at_pointer("/tools/0/type") == "function");
    CHECK(body.at("mine") == 1);
    CHECK(fixture.answers.tasks[0].model == "tiny");
}

TEST_CASE("chat: more tokens than any context holds mean all that there are")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};

    CHECK(fixture.ask(chat(R"("max_tokens":4294967297,"max_completion_tokens":9e15,"top_k":3000000000)")).status ==
          200);

    auto const body = json::parse(fixture.answers.tasks.at(0).body);
    CHECK(body.at("max_tokens") == 2147483647);
    CHECK(body.at("max_completion_tokens") == 2147483647);
    CHECK(body.at("top_k") == 2147483647);
}

TEST_CASE("chat: an empty stop stops nothing")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};

    CHECK(fixture.ask(chat(R"("stop":["","x",""])")).status == 200);
    CHECK(fixture.ask(chat(R"("stop":"")")).status == 200);

    CHECK(json::parse(fixture.answers.tasks.at(0).body).at("stop") == json::array{"x"});
    CHECK(!json::parse(fixture.answers.tasks.at(1).body).as_object().contains("stop"));
}

TEST_CASE("chat: a tool chosen by name is the only one and required")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};
    auto const tools = std::string(R"("tools":[{"type":"function","function":{"name":"find"}},)"
                                   R"({"type":"function","function":{"name":"open"}}],"tool_choice":)");
    auto const choice = [](std::string_view name) {
        return fmt::format(R"({{"type":"function","function":{{"name":"{}"}}}})", name);
    };

    CHECK(fixture.ask(chat(tools + choice("open"))).status == 200);
    auto const refused = fixture.ask(chat(tools + choice("close")));
    auto const without_tools = fixture.ask(chat("\"tool_choice\":" + choice("open")));

    auto const body = json::parse(fixture.answers.tasks.at(0).body);
    CHECK(body.at("tools").as_array().size() == 1);
    CHECK(body.at_pointer("/tools/0/function/name") == "open");
    CHECK(body.at("tool_choice") == "required");
    CHECK(refused.status == 400);
    CHECK(body_of(refused).at_pointer("/error/param") == "tool_choice");
    CHECK(without_tools.status == 400);
}

TEST_CASE("chat: an unknown model is an OpenAI-shaped 404")
{
    auto fixture = ApiFixture();
    fixture.answers.refusal = Error{ErrorKind::not_found, "did you mean \"tiny\"?"};

    auto const reply = fixture.ask(chat(R"("stream":true)"));

    CHECK(reply.status == 404);
    CHECK(error_code_of(reply) == "model_not_found");
    CHECK(body_of(reply).at_pointer("/error/param") == "model");
    CHECK(body_of(reply).at_pointer("/error/message") == "The model 'tiny' does not exist: did you mean \"tiny\"?");
    CHECK(!reply.header("x-request-id").empty());
}

TEST_CASE("chat: a full queue is a 503 that says when to come again")
{
    auto fixture = ApiFixture();
    fixture.answers.refusal = Error{ErrorKind::unavailable, "no device is free"};

    auto const reply = fixture.ask(chat());

    CHECK(reply.status == 503);
    CHECK(!reply.header("retry-after").empty());
}

TEST_CASE("chat: a failure before the first chunk is a status, one after it is an event in the stream")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {routed("gaming-pc"), failure(ErrorKind::closed, "the engine ended")};

    auto const early = fixture.ask(chat(R"("stream":true)"));
    fixture.answers.steps.insert(fixture.answers.steps.begin() + 1, content("Red"));
    auto const late = fixture.ask(chat(R"("stream":true)"));

    CHECK(early.status == 503);
    CHECK(error_code_of(early) == "device_lost");
    CHECK(early.header("plexus-route") == "gaming-pc");
    CHECK(late.status == 200);
    auto const events = events_of(late);
    REQUIRE(events.size() == 2);
    CHECK(json::parse(events[1]).at_pointer("/error/code") == "device_lost");
}

TEST_CASE("chat: a failure in a plain answer is a status even after chunks")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), failure(ErrorKind::closed, "the engine ended")};

    auto const reply = fixture.ask(chat());

    CHECK(reply.status == 503);
    CHECK(error_code_of(reply) == "device_lost");
}

TEST_CASE("chat: a cold model is a stream with comments, not silence")
{
    auto fixture = ApiFixture();
    auto waiting = finished();
    waiting.event = {AnswerEvent::Kind::waiting, "loading the model", {}};
    fixture.answers.steps = {waiting, pause(20s), content("Red"), finished()};

    auto const reply = fixture.ask(chat(R"("stream":true)"));

    CHECK(reply.status == 200);
    std::size_t comments = 0;
    for (auto place = reply.body.find(": keep-alive"); place != std::string::npos;
         place = reply.body.find(": keep-alive", place + 1)) {
        ++comments;
    }
    CHECK(comments >= 4);
    CHECK(events_of(reply).size() == 2);
}

TEST_CASE("chat: waiting for an answer never disturbs it, however often a comment goes out meanwhile")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {pause(20s), routed("gaming-pc"), pause(9s), content("Red"), finished()};

    auto const reply = fixture.ask(chat(R"("stream":true)"));

    CHECK(reply.status == 200);
    CHECK(events_of(reply).size() == 2);
    CHECK(fixture.answers.broken_off == 0);
    CHECK(fixture.answers.running == 0);
}

TEST_CASE("chat: a deadline that passed inside the mesh ends the stream with its own error")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {failure(ErrorKind::timed_out, "the model did not load in time")};

    auto const early = fixture.ask(chat(R"("stream":true)"));
    fixture.answers.steps.insert(fixture.answers.steps.begin(), pause(6s));
    auto const late = fixture.ask(chat(R"("stream":true)"));

    CHECK(early.status == 504);
    CHECK(error_code_of(early) == "timed_out");
    auto const events = events_of(late);
    REQUIRE(events.size() == 1);
    CHECK(json::parse(events[0]).at_pointer("/error/code") == "timed_out");
}

TEST_CASE("chat: a wrong body is refused at the edge with the field at fault")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view body, std::string_view param) {
        auto const reply = fixture.ask(request("POST", "/v1/chat/completions", body));
        auto const at = body_of(reply).at_pointer("/error/param");
        CHECK_MESSAGE(reply.status == 400, body);
        CHECK_MESSAGE((at.is_null() ? std::string_view() : std::string_view(at.as_string())) == param, body);
        CHECK(body_of(reply).at_pointer("/error/type") == "invalid_request_error");
    };
    auto const with = [](std::string_view fields) {
        return fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":"x"}}],{}}})", fields);
    };

    refused("", "");
    refused("{", "");
    refused("[]", "");
    refused("{\"model\":\"\xff\xfe\",\"messages\":[]}", "");
    refused(std::string(100, '[') + std::string(100, ']'), "");
    refused(R"({"messages":[{"role":"user","content":"x"}]})", "model");
    refused(R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "model");
    refused(R"({"model":"m"})", "messages");
    refused(R"({"model":"m","messages":[]})", "messages");
    refused(R"({"model":"m","messages":"hi"})", "messages");
    refused(R"({"model":"m","messages":["hi"]})", "messages[0]");
    refused(R"({"model":"m","messages":[{"role":"king","content":"x"}]})", "messages[0].role");
    refused(R"({"model":"m","messages":[{"role":"user","content":7}]})", "messages[0].content");
    refused(R"({"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content");
    refused(R"({"model":"m","messages":[{"role":"user"}]})", "messages[0].content");
    refused(with(R"("temperature":"hot")"), "temperature");
    refused(with(R"("temperature":2.5)"), "temperature");
    refused(with(R"("top_p":-0.1)"), "top_p");
    refused(with(R"("n":9)"), "n");
    refused(with(R"("max_tokens":0)"), "max_tokens");
    refused(with(R"("max_completion_tokens":1.5)"), "max_completion_tokens");
    refused(with(R"("seed":"x")"), "seed");
    refused(with(R"("stop":7)"), "stop");
    refused(with(R"("stop":[7])"), "stop");
    refused(with(R"("stream":"yes")"), "stream");
    refused(with(R"("stream_options":{"include_usage":true})"), "stream_options");
    refused(with(R"("stream":true,"stream_options":7)"), "stream_options");
    refused(with(R"("seed":9223372036854775808)"), "seed");
    refused(with(R"("tools":{})"), "tools");
    refused(with(R"("tools":[{}])"), "tools");
    refused(with(R"("tools":[{"type":"web_search","function":{"name":"find"}}])"), "tools");
    refused(R"({"model":"m","messages":[{"role":"assistant","tool_calls":[5]}]})", "messages[0].tool_calls");
    refused(with(R"("tool_choice":"maybe")"), "tool_choice");
    refused(with(R"("response_format":{"type":"xml"})"), "response_format");
    CHECK(fixture.answers.tasks.empty());
}

TEST_CASE("chat: null fields count as absent, and developer is a system message to the engine")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {finished()};
    auto const body =
        R"({"model":"m","messages":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"x"}]}],"temperature":null,"stop":null,"stream":null})";

    CHECK(fixture.ask(request("POST", "/v1/chat/completions", body)).status == 200);
    auto const task = json::parse(fixture.answers.tasks.at(0).body);
    CHECK(task.at_pointer("/messages/0/role") == "system");
    CHECK(!task.as_object().contains("temperature"));
}

TEST_CASE("models: the list and a model whose name holds a slash")
{
    auto fixture = ApiFixture();
    fixture.services.models = {{.id = "org/tiny", .aliases = {"tiny"}, .digest = "ab", .context_length = 2048}};

    auto const list = body_of(fixture.ask(request("GET", "/v1/models")));
    CHECK(list.at("object") == "list");
    CHECK(list.at_pointer("/data/0/id") == "org/tiny");
    CHECK(list.at_pointer("/data/0/object") == "model");
    CHECK(list.at_pointer("/data/0/context_length") == 2048);
    CHECK(body_of(fixture.ask(request("GET", "/v1/models/org/tiny"))).at("id") == "org/tiny");
    CHECK(body_of(fixture.ask(request("GET", "/v1/models/org%2Ftiny"))).at("id") == "org/tiny");
    CHECK(body_of(fixture.ask(request("GET", "/v1/models/tiny"))).at("id") == "org/tiny");
    auto const missing = fixture.ask(request("GET", "/v1/models/other"));
    CHECK(missing.status == 404);
    CHECK(error_code_of(missing) == "model_not_found");
}
