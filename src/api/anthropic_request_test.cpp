#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/anthropic_request.h"

using namespace plexus::api;

namespace json = boost::json;

namespace {

std::string with(std::string_view fields, std::string_view messages = R"([{"role":"user","content":"hello"}])")
{
    return fmt::format(R"({{"model":"tiny","max_tokens":16,"messages":{}{}{}}})", messages, fields.empty() ? "" : ",",
                       fields);
}

AnthropicRequest good(std::string const& body)
{
    auto request = parse_anthropic_request(body, AnthropicUse::message);
    REQUIRE_MESSAGE(request.has_value(), body << ": " << (request ? "" : request.error().text));
    return std::move(*request);
}

json::value task(std::string const& body)
{
    return json::parse(good(body).task_body);
}

std::string param_of(std::string const& body)
{
    auto const request = parse_anthropic_request(body, AnthropicUse::message);
    REQUIRE_MESSAGE(!request.has_value(), body);
    CHECK(request.error().status == 400);
    CHECK(request.error().type == "invalid_request_error");
    return request.error().param;
}

}  // namespace

TEST_CASE("anthropic request: a plain question becomes a chat body that streams and reports usage")
{
    auto const body = task(with(R"("system":"be brief","temperature":0.5,"top_k":40,"stop_sequences":["END",""])"));

    CHECK(body.at("model") == "tiny");
    CHECK(body.at("max_tokens") == 16);
    CHECK(body.at("stream") == true);
    CHECK(body.at_pointer("/stream_options/include_usage") == true);
    CHECK(body.at("messages") ==
          json::parse(R"([{"role":"system","content":"be brief"},{"role":"user","content":"hello"}])"));
    CHECK(body.at("top_k") == 40);
    CHECK(body.at("stop") == json::parse(R"(["END"])"));
}

TEST_CASE("anthropic request: a system of blocks with cache marks is one text")
{
    auto const blocks =
        R"("system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}])";

    CHECK(task(with(blocks)).at_pointer("/messages/0/content") == "a\nb");
}

TEST_CASE("anthropic request: a round trip of a tool becomes calls and results with their ids")
{
    auto const body = task(with("", R"([{"role":"user","content":"weather?"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I look."},
            {"type":"tool_use","id":"t1","name":"weather","input":{"city":"Paris"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"down"}]},
            {"type":"text","text":"and now?"}]}])"));

    auto const& messages = body.at("messages").as_array();
    REQUIRE(messages.size() == 4);
    CHECK(messages[1].at("content") == "I look.");
    CHECK(messages[1].at("reasoning_content") == "hm");
    CHECK(messages[1].at_pointer("/tool_calls/0/id") == "t1");
    CHECK(messages[1].at_pointer("/tool_calls/0/function/arguments") == R"({"city":"Paris"})");
    CHECK(messages[2] == json::parse(R"({"role":"tool","tool_call_id":"t1","content":"The tool failed:\ndown"})"));
    CHECK(messages[3] == json::parse(R"({"role":"user","content":"and now?"})"));
}

TEST_CASE("anthropic request: images come as base64, in results of tools too")
{
    auto const image = std::string(
        R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}})");
    auto const body = task(with(
        "", fmt::format(
                R"([{{"role":"user","content":[{0},{{"type":"tool_result","tool_use_id":"t1","content":[{0}]}}]}}])",
                image)));

    CHECK(body.at_pointer("/messages/0/role") == "tool");
    CHECK(body.at_pointer("/messages/0/content/0/image_url/url") == "data:image/png;base64,AAAA");
    CHECK(body.at_pointer("/messages/1/content/0/image_url/url") == "data:image/png;base64,AAAA");
}

TEST_CASE("anthropic request: messages of one role in a row are one")
{
    auto const body = task(
        with("", R"([{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}])"));

    CHECK(body.at("messages") == json::parse(R"([{"role":"user","content":"a\nb"}])"));
}

TEST_CASE("anthropic request: tools of ours are functions, those of Anthropic's servers are left out and told")
{
    auto const request = good(with(R"("tools":[{"type":"web_search_20250305","name":"web_search"},
        {"name":"weather","description":"d","input_schema":{"type":"object"}},{"type":"custom","name":"b","input_schema":{}}])"));

    auto const body = json::parse(request.task_body);
    CHECK(request.left_out == std::vector<std::string>{"web_search_20250305"});
    REQUIRE(body.at("tools").as_array().size() == 2);
    CHECK(body.at_pointer("/tools/0/function/parameters/type") == "object");
    CHECK(body.at_pointer("/tools/0/function/description") == "d");
}

TEST_CASE("anthropic request: every choice of a tool")
{
    auto const choice = [](std::string_view text) {
        return task(with(fmt::format(R"("tools":[{{"name":"a","input_schema":{{}}}},{{"name":"b","input_schema":{{}}}}],
            "tool_choice":{})",
                                     text)));
    };

    CHECK(choice(R"({"type":"auto","disable_parallel_tool_use":true})").at("parallel_tool_calls") == false);
    CHECK(choice(R"({"type":"any"})").at("tool_choice") == "required");
    CHECK(choice(R"({"type":"none"})").at("tool_choice") == "none");
    auto const named = choice(R"({"type":"tool","name":"b"})");
    CHECK(named.at("tool_choice") == "required");
    CHECK(named.at("tools").as_array().size() == 1);
    CHECK(named.at_pointer("/tools/0/function/name") == "b");
    CHECK(param_of(with(R"("tool_choice":{"type":"tool","name":"c"})")) == "tool_choice");
}

TEST_CASE("anthropic request: thinking is off unless asked for, with its budget")
{
    auto const is_on = [](std::string_view fields) {
        return task(with(fields)).at_pointer("/chat_template_kwargs/enable_thinking").as_bool();
    };

    CHECK(!is_on(""));
    CHECK(!is_on(R"("thinking":{"type":"disabled"})"));
    CHECK(is_on(R"("thinking":{"type":"adaptive"})"));
    CHECK(task(with(R"("thinking":{"type":"enabled","budget_tokens":2048})")).at("thinking_budget_tokens") == 2048);
    CHECK(!good(with(R"("thinking":{"type":"adaptive","display":"omitted"})")).shows_thinking);
}

TEST_CASE("anthropic request: a schema for the answer, and the effort")
{
    auto const body = task(
        with(R"("output_config":{"effort":"max","format":{"type":"json_schema","schema":{"type":"object"}}})"));

    CHECK(body.at_pointer("/response_format/type") == "json_schema");
    CHECK(body.at_pointer("/response_format/json_schema/schema/type") == "object");
    CHECK(body.at("reasoning_effort") == "high");
}

TEST_CASE("anthropic request: a last message of the assistant is gone on with, an empty one is dropped")
{
    auto const begun = good(
        with("", R"([{"role":"user","content":"a"},{"role":"assistant","content":"The answer is "}])"));
    auto const empty = good(with("", R"([{"role":"user","content":"a"},{"role":"assistant","content":""}])"));

    CHECK(begun.prefill == "The answer is ");
    CHECK(empty.prefill.empty());
    CHECK(json::parse(empty.task_body).at("messages").as_array().size() == 1);
}

TEST_CASE("anthropic request: more tokens than any context holds mean all that there are")
{
    auto body = with("");
    body.replace(body.find("16"), 2, "900000000000");

    CHECK(task(body).at("max_tokens") == std::numeric_limits<std::int32_t>::max());
}

TEST_CASE("anthropic request: counting needs no max_tokens, a message does")
{
    auto const body = std::string(R"({"model":"tiny","messages":[{"role":"user","content":"a"}]})");

    CHECK(parse_anthropic_request(body, AnthropicUse::count).has_value());
    CHECK(param_of(body) == "max_tokens");
}

TEST_CASE("anthropic request: what is wrong is named")
{
    auto const block = [](std::string_view text) {
        return with("", fmt::format(R"([{{"role":"user","content":[{}]}}])", text));
    };

    CHECK(param_of("{") == "");
    CHECK(param_of("[]") == "");
    CHECK(param_of("{\"model\":\"\xff\"}") == "");
    CHECK(param_of(std::string(100, '[')) == "");
    CHECK(param_of(R"({"max_tokens":1,"messages":[]})") == "model");
    CHECK(param_of(R"({"model":7,"max_tokens":1,"messages":[]})") == "model");
    CHECK(param_of(with("", "[]")) == "messages");
    CHECK(param_of(with("", "{}")) == "messages");
    CHECK(param_of(with("", "[1]")) == "messages.0");
    CHECK(param_of(with("", R"([{"role":"tool","content":"a"}])")) == "messages.0.role");
    CHECK(param_of(with("", R"([{"role":"user","content":7}])")) == "messages.0.content");
    CHECK(param_of(with("", R"([{"role":"assistant","content":""}])")) == "messages");
    CHECK(param_of(block("7")) == "messages.0.content.0");
    CHECK(param_of(block(R"({"type":"hologram"})")) == "messages.0.content.0");
    CHECK(param_of(block(R"({"type":"text","text":7})")) == "messages.0.content.0.text");
    CHECK(param_of(block(R"({"type":"image","source":{"type":"url","url":"http://a"}})")) ==
          "messages.0.content.0.source");
    CHECK(param_of(block(R"({"type":"image","source":{"type":"base64","media_type":"image/bmp","data":""}})")) ==
          "messages.0.content.0.source.media_type");
    CHECK(
        param_of(block(R"({"type":"document","source":{"type":"base64","media_type":"application/pdf","data":""}})")) ==
        "messages.0.content.0.source");
    CHECK(param_of(block(R"({"type":"tool_result","content":"a"})")) == "messages.0.content.0.tool_use_id");
    CHECK(param_of(with(R"("temperature":-1)")) == "temperature");
    CHECK(param_of(with(R"("temperature":1e300)")) == "temperature");
    CHECK(param_of(with(R"("top_p":"much")")) == "top_p");
    CHECK(param_of(with(R"("top_k":1.5)")) == "top_k");
    CHECK(param_of(with(R"("stream":"yes")")) == "stream");
    CHECK(param_of(with(R"("stop_sequences":"END")")) == "stop_sequences");
    CHECK(param_of(with(R"("stop_sequences":[1])")) == "stop_sequences");
    CHECK(param_of(with(R"("thinking":{"type":"deep"})")) == "thinking.type");
    CHECK(param_of(with(R"("thinking":{"type":"enabled","budget_tokens":-5})")) == "budget_tokens");
    CHECK(param_of(with(R"("tools":{})")) == "tools");
    CHECK(param_of(with(R"("tools":[{"name":"a"}])")) == "tools.0");
    CHECK(param_of(with(R"("tool_choice":"any")")) == "tool_choice");
    CHECK(param_of(with(R"("tool_choice":{"type":"some"})")) == "tool_choice.type");
    CHECK(param_of(with(R"("output_config":{"effort":"total"})")) == "output_config.effort");
    CHECK(param_of(with(R"("output_config":{"format":{"type":"xml"}})")) == "output_config.format");
    CHECK(param_of(with(R"("system":7)")) == "system");
}
