#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/ollama_request.h"

using namespace plexus;
using namespace plexus::api;
using namespace std::chrono_literals;

namespace json = boost::json;

namespace {

OllamaRequest chat(std::string_view fields, std::string_view messages = R"([{"role":"user","content":"hello"}])")
{
    auto request = parse_ollama_chat(
        fmt::format(R"({{"model":"tiny","messages":{}{}{}}})", messages, fields.empty() ? "" : ",", fields));
    REQUIRE_MESSAGE(request.has_value(), (request ? "" : request.error().text));
    return std::move(*request);
}

OllamaRequest generate(std::string_view fields)
{
    auto request = parse_ollama_generate(
        fmt::format(R"({{"model":"tiny","prompt":"hello"{}{}}})", fields.empty() ? "" : ",", fields));
    REQUIRE_MESSAGE(request.has_value(), (request ? "" : request.error().text));
    return std::move(*request);
}

std::string wrong_chat(std::string_view fields)
{
    auto const request = parse_ollama_chat(fmt::format(R"({{"model":"tiny",{}}})", fields));
    REQUIRE_MESSAGE(!request.has_value(), fields);
    CHECK(request.error().status == 400);
    return request.error().param;
}

std::optional<Duration> keep_alive(std::string_view text)
{
    return parse_keep_alive(json::parse(text));
}

}  // namespace

TEST_CASE("ollama request: a chat streams unless told, with the options that the engine knows")
{
    auto const request = chat(R"("options":{"temperature":0,"top_k":40,"top_p":0.9,"min_p":0.1,"seed":7,"stop":"END",
        "repeat_penalty":1.1,"presence_penalty":1,"frequency_penalty":1,"num_predict":12,"num_ctx":512,"numa":true,"mirostat":2})");

    CHECK(request.stream);
    CHECK(!chat(R"("stream":false)").stream);
    CHECK(request.kind == TaskKind::chat);
    CHECK(request.context == 512);
    CHECK(request.task.at("stream") == true);
    CHECK(request.task.at("max_tokens") == 12);
    CHECK(request.task.at("seed") == 7);
    CHECK(request.task.at("stop") == json::parse(R"(["END"])"));
    CHECK(request.task.at("repeat_penalty") == 1.1);
    CHECK(!request.task.contains("numa"));
    CHECK(!request.task.contains("num_ctx"));
    CHECK(!chat(R"("options":{"num_predict":-1})").task.contains("max_tokens"));
}

TEST_CASE("ollama request: calls without ids and their results are put together")
{
    auto const request = chat("", R"([{"role":"user","content":"weather?"},
        {"role":"assistant","content":"","thinking":"hm","tool_calls":[{"function":{"name":"a","arguments":{"x":1}}},{"function":{"name":"b","arguments":{}}}]},
        {"role":"tool","tool_name":"b","content":"B"},{"role":"tool","content":"A"}])");

    auto const& messages = request.task.at("messages").as_array();
    CHECK(messages[1].at("reasoning_content") == "hm");
    CHECK(messages[1].at_pointer("/tool_calls/0/function/arguments") == R"({"x":1})");
    CHECK(messages[2].at("tool_call_id") == messages[1].at_pointer("/tool_calls/1/id"));
    CHECK(messages[3].at("tool_call_id") == messages[1].at_pointer("/tool_calls/0/id"));
}

TEST_CASE("ollama request: images of a message follow its text")
{
    auto const request = chat("", R"([{"role":"user","content":"what?","images":["AAAA"]}])");

    CHECK(request.task.at("messages").at_pointer("/0/content/0/text") == "what?");
    CHECK(request.task.at("messages").at_pointer("/0/content/1/image_url/url") == "data:image/jpeg;base64,AAAA");
}

TEST_CASE("ollama request: format is any JSON or a schema, think is a switch or a level")
{
    CHECK(chat(R"("format":"json")").task.at("response_format") == json::parse(R"({"type":"json_object"})"));
    CHECK(chat(R"("format":{"type":"object"})").task.at("response_format").at_pointer("/json_schema/schema/type") ==
          "object");
    CHECK(!chat(R"("format":"")").task.contains("response_format"));
    CHECK(chat(R"("think":false)").task.at("chat_template_kwargs").at("enable_thinking") == false);
    CHECK(!chat(R"("think":false)").shows_thinking);
    CHECK(chat(R"("think":"low")").task.at("reasoning_effort") == "low");
    CHECK(!chat("").task.contains("chat_template_kwargs"));
}

TEST_CASE("ollama request: a prompt is a chat with its system, raw it is a completion, with a suffix infill")
{
    auto const plain = generate(R"("system":"be brief")");
    auto const raw = generate(R"("raw":true,"options":{"num_predict":3})");
    auto const infill = generate(R"("suffix":"end","options":{"num_predict":3})");

    CHECK(plain.task.at("messages") ==
          json::parse(R"([{"role":"system","content":"be brief"},{"role":"user","content":"hello"}])"));
    CHECK(raw.kind == TaskKind::completion);
    CHECK(raw.task.at("prompt") == "hello");
    CHECK(raw.task.at("max_tokens") == 3);
    CHECK(infill.kind == TaskKind::infill);
    CHECK(infill.task.at("input_prefix") == "hello");
    CHECK(infill.task.at("input_suffix") == "end");
    CHECK(infill.task.at("n_predict") == 3);
}

TEST_CASE("ollama request: nothing asked is a request to load, or to unload")
{
    auto const load = parse_ollama_generate(R"({"model":"tiny"})");
    auto const unload = parse_ollama_chat(R"({"model":"tiny","messages":[],"keep_alive":0})");

    REQUIRE(load.has_value());
    CHECK(load->task.empty());
    REQUIRE(unload.has_value());
    CHECK(unload->task.empty());
    CHECK(unload->keep_alive == Duration::zero());
}

TEST_CASE("ollama request: every way to say how long a model stays")
{
    CHECK(keep_alive("300") == 300s);
    CHECK(keep_alive("0") == 0s);
    CHECK(keep_alive("1.5") == 1500ms);
    CHECK(keep_alive("-1")->count() < 0);
    CHECK(keep_alive(R"("5m")") == 5min);
    CHECK(keep_alive(R"("1h30m")") == 90min);
    CHECK(keep_alive(R"("1.5h")") == 90min);
    CHECK(keep_alive(R"("250ms")") == 250ms);
    CHECK(keep_alive(R"("300")") == 300s);
    CHECK(keep_alive(R"("-1m")")->count() < 0);
    CHECK(keep_alive("1e300") == Duration(24h * 3650));
    for (auto const* bad :
         {R"("")", R"("soon")", R"("5x")", R"("m5")", R"("5m6")", R"("nan")", R"("inf")", R"("--5m")", "true", "[]"}) {
        CHECK_MESSAGE(!keep_alive(bad), bad);
    }
}

TEST_CASE("ollama request: embeddings of one text and of many")
{
    auto const one = parse_ollama_embed(R"({"model":"tiny","input":"a","truncate":true,"dimensions":4})");
    auto const many = parse_ollama_embed(R"({"model":"tiny","input":["a","b"]})");
    auto const old = parse_ollama_embeddings(R"({"model":"tiny","prompt":"a"})");

    CHECK(one->task.at("input") == json::parse(R"(["a"])"));
    CHECK(one->dimensions == 4);
    CHECK(many->inputs == 2);
    CHECK(many->task.at("encoding_format") == "float");
    CHECK(old->task.at("input") == json::parse(R"(["a"])"));
    CHECK(parse_ollama_embed(R"({"model":"tiny","input":[1]})").error().param == "input");
    CHECK(parse_ollama_embed(R"({"model":"tiny","input":7})").error().param == "input");
    CHECK(parse_ollama_embed(R"({"model":"tiny","input":"a","dimensions":0})").error().param == "dimensions");
    CHECK(parse_ollama_embeddings(R"({"model":"tiny","prompt":7})").error().param == "prompt");
}

TEST_CASE("ollama request: a model is named by model or by the older name")
{
    CHECK(parse_ollama_model(R"({"model":"tiny"})") == "tiny");
    CHECK(parse_ollama_model(R"({"name":"tiny:latest"})") == "tiny:latest");
    CHECK(parse_ollama_model(R"({})").error().param == "model");
    CHECK(parse_ollama_model(R"({"model":""})").error().param == "model");
}

TEST_CASE("ollama request: what is wrong is named")
{
    CHECK(parse_ollama_chat("{").error().code == "malformed");
    CHECK(parse_ollama_chat("{\"model\":\"\xff\"}").error().code == "malformed");
    CHECK(parse_ollama_chat(R"({"model":)" + std::string(100, '[')).error().code == "malformed");
    CHECK(parse_ollama_chat(R"({"model":"m","messages":[],"beyond":[{"a":2e915}]})").error().code == "malformed");
    CHECK(wrong_chat(R"("messages":{})") == "messages");
    CHECK(wrong_chat(R"("messages":[1])") == "messages[0]");
    CHECK(wrong_chat(R"("messages":[{"role":"robot","content":"a"}])") == "messages[0].role");
    CHECK(wrong_chat(R"("messages":[{"role":"user","content":["a"]}])") == "messages[0].content");
    CHECK(wrong_chat(R"("messages":[{"role":"user","images":"AAAA"}])") == "messages[0].images");
    CHECK(wrong_chat(R"("messages":[{"role":"user","images":[7]}])") == "messages[0].images");
    CHECK(
        wrong_chat(R"("messages":[{"role":"assistant","tool_calls":[{"function":{"name":"a","arguments":"{}"}}]}])") ==
        "messages[0].tool_calls");
    CHECK(wrong_chat(R"("stream":1)") == "stream");
    CHECK(wrong_chat(R"("think":"much")") == "think");
    CHECK(wrong_chat(R"("format":"xml")") == "format");
    CHECK(wrong_chat(R"("format":7)") == "format");
    CHECK(wrong_chat(R"("keep_alive":"soon")") == "keep_alive");
    CHECK(wrong_chat(R"("tools":[{"type":"function"}])") == "tools");
    CHECK(wrong_chat(R"("options":[])") == "options");
    CHECK(wrong_chat(R"("options":{"temperature":-1})") == "temperature");
    CHECK(wrong_chat(R"("options":{"num_ctx":0})") == "num_ctx");
    CHECK(wrong_chat(R"("options":{"num_ctx":1e18})") == "num_ctx");
    CHECK(wrong_chat(R"("options":{"num_predict":"all"})") == "num_predict");
    CHECK(wrong_chat(R"("options":{"stop":[7]})") == "options.stop");
    CHECK(wrong_chat(R"("options":{"stop":{}})") == "options.stop");
    CHECK(parse_ollama_generate(R"({"model":"tiny","prompt":"a","raw":true,"format":"json"})").error().param ==
          "format");
    CHECK(parse_ollama_generate(R"({"model":"tiny","prompt":7})").error().param == "prompt");
    CHECK(parse_ollama_generate(R"({"model":"tiny","prompt":"a","raw":1})").error().param == "raw");
}
