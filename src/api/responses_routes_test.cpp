#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "api/openai_testing.h"
#include "api/response_store.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

constexpr auto path = std::string_view("/v1/responses");

std::string responses(std::string_view fields)
{
    return request("POST", path, fmt::format(R"({{"model":"tiny",{}}})", fields));
}

Step delta(std::string_view fields)
{
    return chunk(fmt::format(R"({{"id":"c","choices":[{{"index":0,"delta":{{{}}},"finish_reason":null}}]}})", fields));
}

Step end_of_choice(std::string_view reason)
{
    return chunk(fmt::format(R"({{"id":"c","choices":[{{"index":0,"delta":{{}},"finish_reason":"{}"}}]}})", reason));
}

/// The types of events in order, each with its number checked.
std::vector<std::string> types_of(std::vector<std::string> const& events)
{
    auto types = std::vector<std::string>{};
    for (auto const& each : events) {
        auto const event = json::parse(each);
        CHECK(event.at("sequence_number") == types.size());
        types.emplace_back(event.at("type").as_string());
    }
    return types;
}

std::vector<Step> says(std::string_view words)
{
    return {content(words), end_of_choice("stop"), usage(), finished()};
}

json::value task_of(ApiFixture const& fixture, std::size_t index = 0)
{
    return json::parse(fixture.answers.tasks.at(index).body);
}

}  // namespace

TEST_CASE("responses: a plain answer is one response with its message and usage")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("Red");

    auto const reply = fixture.ask(responses(
        R"("input":"Name a colour","instructions":"Be brief","metadata":{"a":"b"},"temperature":0.5,"max_output_tokens":9)"));

    CHECK(reply.status == 200);
    auto const body = body_of(reply);
    CHECK(body.at("object") == "response");
    CHECK(std::string(body.at("id").as_string()).starts_with("resp_"));
    CHECK(body.at("status") == "completed");
    CHECK(body.at("model") == "tiny");
    CHECK(body.at("instructions") == "Be brief");
    CHECK(body.at_pointer("/metadata/a") == "b");
    CHECK(body.at("temperature") == 0.5);
    CHECK(body.at_pointer("/output/0/type") == "message");
    CHECK(body.at_pointer("/output/0/status") == "completed");
    CHECK(body.at_pointer("/output/0/content/0/type") == "output_text");
    CHECK(body.at_pointer("/output/0/content/0/text") == "Red");
    CHECK(body.at_pointer("/usage/input_tokens") == 3);
    CHECK(body.at_pointer("/usage/input_tokens_details/cached_tokens") == 0);
    CHECK(body.at("error").is_null());
    auto const task = task_of(fixture);
    CHECK(task.at_pointer("/messages/0/role") == "system");
    CHECK(task.at_pointer("/messages/0/content") == "Be brief");
    CHECK(task.at_pointer("/messages/1/content") == "Name a colour");
    CHECK(task.at("max_tokens") == 9);
}

TEST_CASE("responses: the events of a stream come in their order, numbered")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {routed("gaming-pc"),   content("Red"), content("!"),
                             end_of_choice("stop"), usage(),        finished()};

    auto const reply = fixture.ask(responses(R"("input":"x","stream":true)"));

    CHECK(reply.header("plexus-route") == "gaming-pc");
    auto const events = events_of(reply);
    CHECK(types_of(events) == std::vector<std::string>{"response.created", "response.in_progress",
                                                       "response.output_item.added", "response.content_part.added",
                                                       "response.output_text.delta", "response.output_text.delta",
                                                       "response.output_text.done", "response.content_part.done",
                                                       "response.output_item.done", "response.completed"});
    REQUIRE(events.size() == 10);
    CHECK(json::parse(events[0]).at_pointer("/response/status") == "in_progress");
    auto const item_id = json::parse(events[2]).at_pointer("/item/id");
    for (auto const place : {3, 4, 5, 6, 7}) {
        CHECK(json::parse(events[place]).at("item_id") == item_id);
        CHECK(json::parse(events[place]).at("output_index") == 0);
        CHECK(json::parse(events[place]).at("content_index") == 0);
    }
    CHECK(json::parse(events[5]).at("delta") == "!");
    CHECK(json::parse(events[6]).at("text") == "Red!");
    CHECK(json::parse(events[9]).at_pointer("/response/output/0/content/0/text") == "Red!");
    CHECK(reply.body.find("event: response.created\ndata: ") != std::string::npos);
}

TEST_CASE("responses: reasoning, then words, then two calls are items of their own")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        delta(R"("role":"assistant","content":null)"),
        delta(R"("reasoning_content":"Hm")"),
        delta(R"("content":"I look")"),
        delta(R"("tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"find"}}])"),
        delta(R"("tool_calls":[{"index":0,"function":{"arguments":"{\"q\":"}}])"),
        delta(R"("tool_calls":[{"index":0,"function":{"arguments":"1}"}}])"),
        delta(
            R"("tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"open","arguments":"{}"}}])"),
        end_of_choice("tool_calls"),
        usage(),
        finished()};
    auto const fields = std::string(
        R"("input":"x","tools":[{"type":"function","name":"find","parameters":null},{"type":"function","name":"open"}],"stream":)");

    auto const events = events_of(fixture.ask(responses(fields + "true")));
    auto const body = body_of(fixture.ask(responses(fields + "false")));

    CHECK(types_of(events) == std::vector<std::string>{"response.created",
                                                       "response.in_progress",
                                                       "response.output_item.added",
                                                       "response.content_part.added",
                                                       "response.reasoning_text.delta",
                                                       "response.reasoning_text.done",
                                                       "response.content_part.done",
                                                       "response.output_item.done",
                                                       "response.output_item.added",
                                                       "response.content_part.added",
                                                       "response.output_text.delta",
                                                       "response.output_text.done",
                                                       "response.content_part.done",
                                                       "response.output_item.done",
                                                       "response.output_item.added",
                                                       "response.function_call_arguments.delta",
                                                       "response.function_call_arguments.delta",
                                                       "response.function_call_arguments.done",
                                                       "response.output_item.done",
                                                       "response.output_item.added",
                                                       "response.function_call_arguments.delta",
                                                       "response.function_call_arguments.done",
                                                       "response.output_item.done",
                                                       "response.completed"});
    auto const last = json::parse(events.back()).at("response");
    for (auto const& response : {last, body}) {
        CHECK(response.at_pointer("/output/0/content/0/text") == "Hm");
        CHECK(response.at_pointer("/output/1/content/0/text") == "I look");
        CHECK(response.at_pointer("/output/2/call_id") == "call_a");
        CHECK(response.at_pointer("/output/2/name") == "find");
        CHECK(response.at_pointer("/output/2/arguments") == "{\"q\":1}");
        CHECK(response.at_pointer("/output/3/call_id") == "call_b");
        CHECK(response.at_pointer("/output/3/status") == "completed");
        CHECK(response.at_pointer("/tools/0/name") == "find");
    }
    CHECK(task_of(fixture).at_pointer("/tools/0/function/name") == "find");
}

TEST_CASE("responses: cut off by its limit a response is incomplete, broken off it has failed")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), end_of_choice("length"), usage(), finished()};
    auto const cut = body_of(fixture.ask(responses(R"("input":"x")")));
    auto const cut_events = events_of(fixture.ask(responses(R"("input":"x","stream":true)")));
    fixture.answers.steps = {content("Red"), failure(ErrorKind::closed, "the engine ended")};
    auto const failed_events = events_of(fixture.ask(responses(R"("input":"x","stream":true)")));
    auto const failed = fixture.ask(responses(R"("input":"x")"));

    CHECK(cut.at("status") == "incomplete");
    CHECK(cut.at_pointer("/incomplete_details/reason") == "max_output_tokens");
    CHECK(cut.at_pointer("/output/0/status") == "incomplete");
    CHECK(types_of(cut_events).back() == "response.incomplete");
    CHECK(types_of(failed_events).back() == "response.failed");
    CHECK(json::parse(failed_events.back()).at_pointer("/response/error/code") == "device_lost");
    CHECK(failed.status == 503);
}

TEST_CASE("responses: an over-long prompt is a 400 with both numbers")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {failure(ErrorKind::too_large, "the prompt has 5000 tokens, the context holds 4096")};

    auto const reply = fixture.ask(responses(R"("input":"x","stream":true)"));

    CHECK(reply.status == 400);
    CHECK(error_code_of(reply) == "context_length_exceeded");
    CHECK(body_of(reply).at_pointer("/error/message") == "the prompt has 5000 tokens, the context holds 4096");
}

TEST_CASE("responses: tools and items that are not here are left out with a warning")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("Red");

    auto const reply = fixture.ask(responses(
        R"("tools":[{"type":"namespace","name":"mcp","tools":[]},{"type":"web_search"},{"type":"function","name":"f"}],)"
        R"("input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"Be brief"}]},)"
        R"({"role":"user","content":"Hi"},{"type":"web_search_call","id":"ws_1"}],"instructions":"You code.",)"
        R"("include":["reasoning.encrypted_content"],"prompt_cache_key":"k","client_metadata":{"x":"y"},"store":false,)"
        R"("parallel_tool_calls":true,"tool_choice":"auto","reasoning":{"effort":"xhigh","summary":"auto"})"));

    CHECK(reply.status == 200);
    CHECK(reply.header("plexus-warning") == "left out, because it is not here: namespace, web_search, web_search_call");
    auto const task = task_of(fixture);
    CHECK(task.at("tools").as_array().size() == 1);
    CHECK(task.at("messages").as_array().size() == 2);
    CHECK(task.at_pointer("/messages/0/content") == "You code.\n\nBe brief");
    CHECK(task.at("reasoning_effort") == "high");
    CHECK(body_of(reply).at_pointer("/reasoning/effort") == "xhigh");
    CHECK(body_of(reply).at("prompt_cache_key") == "k");
    auto const id = std::string(body_of(reply).at("id").as_string());
    CHECK(fixture.ask(request("GET", "/v1/responses/" + id)).status == 404);
}

TEST_CASE("responses: a tool loop as programs without stored responses send it becomes chat messages")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("Sunny");

    fixture.ask(
        responses(R"("store":false,"input":[{"role":"user","content":[{"type":"input_text","text":"Weather?"},)"
                  R"({"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"auto"}]},)"
                  R"({"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Hm"}]},)"
                  R"({"type":"function_call","call_id":"a","name":"weather","arguments":"{}"},)"
                  R"({"type":"function_call","call_id":"b","name":"time","arguments":"{}"},)"
                  R"({"type":"function_call_output","call_id":"a","output":"21"},)"
                  R"({"type":"function_call_output","call_id":"b","output":[{"type":"input_text","text":"noon"}]}])"));

    auto const task = task_of(fixture);
    CHECK(task.at_pointer("/messages/0/content/1/image_url/url") == "data:image/png;base64,AAAA");
    CHECK(task.at_pointer("/messages/1/reasoning_content") == "Hm");
    CHECK(task.at_pointer("/messages/1/tool_calls/1/id") == "b");
    CHECK(task.at_pointer("/messages/1/tool_calls/0/function/name") == "weather");
    CHECK(task.at_pointer("/messages/2/role") == "tool");
    CHECK(task.at_pointer("/messages/2/tool_call_id") == "a");
    CHECK(task.at_pointer("/messages/3/content") == "noon");
}

TEST_CASE("responses: a stored response goes on, is shown, lists its input, and can be deleted")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("Red");
    fixture.answers.further_steps = {says("Because"), says("Yes")};
    auto const id_in = [](json::value const& body) { return std::string(body.at("id").as_string()); };

    auto const first = id_in(body_of(fixture.ask(responses(R"("input":"A colour?","instructions":"Be brief")"))));
    auto const second = body_of(
        fixture.ask(responses(fmt::format(R"("input":"Why?","previous_response_id":"{}")", first))));
    auto const shown = fixture.ask(request("GET", "/v1/responses/" + first));
    auto const items = body_of(
        fixture.ask(request("GET", "/v1/responses/" + id_in(second) + "/input_items?order=asc")));

    CHECK(second.at("previous_response_id").as_string() == first);
    auto const task = task_of(fixture, 1);
    REQUIRE(task.at("messages").as_array().size() == 3);
    CHECK(task.at_pointer("/messages/0/content") == "A colour?");
    CHECK(task.at_pointer("/messages/1/role") == "assistant");
    CHECK(task.at_pointer("/messages/1/content") == "Red");
    CHECK(task.at_pointer("/messages/2/content") == "Why?");
    CHECK(body_of(shown).at_pointer("/output/0/content/0/text") == "Red");
    CHECK(items.at("data").as_array().size() == 1);
    CHECK(items.at_pointer("/data/0/content") == "Why?");
    CHECK(items.at("first_id") == items.at_pointer("/data/0/id"));
    CHECK(items.at("has_more") == false);

    auto const deleted = body_of(fixture.ask(request("DELETE", "/v1/responses/" + first)));
    CHECK(deleted.at("deleted") == true);
    CHECK(fixture.ask(request("GET", "/v1/responses/" + first)).status == 404);
    CHECK(fixture.ask(request("DELETE", "/v1/responses/" + first)).status == 404);
    auto const gone = fixture.ask(responses(fmt::format(R"("input":"x","previous_response_id":"{}")", first)));
    CHECK(gone.status == 400);
    CHECK(error_code_of(gone) == "previous_response_not_found");
    CHECK(fixture.ask(responses(fmt::format(R"("input":"x","previous_response_id":"{}")", id_in(second)))).status ==
          200);
}

TEST_CASE("responses: references to items of stored responses are followed")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("Red");
    auto const first = body_of(fixture.ask(responses(R"("input":"A colour?")")));
    auto const item = std::string(first.at_pointer("/output/0/id").as_string());
    auto const with = [](std::string_view id) {
        return responses(fmt::format(
            R"("input":[{{"role":"user","content":"A colour?"}},{{"type":"item_reference","id":"{}"}},{{"role":"user","content":"Why?"}}])",
            id));
    };

    CHECK(fixture.ask(with(item)).status == 200);
    auto const unknown = fixture.ask(with("msg_0_0"));

    CHECK(task_of(fixture, 1).at_pointer("/messages/1/content") == "Red");
    CHECK(unknown.status == 400);
    CHECK(body_of(unknown).at_pointer("/error/param") == "input");
}

TEST_CASE("responses: the tokens of an input are counted, a conversation is made short and goes on")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {chunk(R"({"tokens":11,"context":4096})"), finished()};
    fixture.answers.further_steps = {says("They spoke of red."), says("Yes")};

    auto const counted = body_of(
        fixture.ask(request("POST", "/v1/responses/input_tokens", R"({"model":"m","input":"x"})")));
    auto const compact = body_of(
        fixture.ask(request("POST", "/v1/responses/compact", R"({"model":"m","input":"A colour?"})")));
    auto input = compact.at("output").as_array();
    input.emplace_back(json::object{{"role", "user"}, {"content", "Which?"}});
    auto const goes_on = fixture.ask(responses("\"input\":" + json::serialize(input)));

    CHECK(fixture.answers.tasks.at(0).kind == TaskKind::tokenize);
    CHECK(counted.at("object") == "response.input_tokens");
    CHECK(counted.at("input_tokens") == 11);
    CHECK(compact.at("object") == "response.compaction");
    CHECK(compact.at_pointer("/output/0/role") == "user");
    CHECK(compact.at_pointer("/output/1/type") == "compaction");
    CHECK(goes_on.status == 200);
    CHECK(
        std::string(task_of(fixture, 2).at_pointer("/messages/1/content").as_string()).ends_with("They spoke of red."));
}

TEST_CASE("responses: only what runs in the background could be cancelled")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("Red");
    auto const id = std::string(body_of(fixture.ask(responses(R"("input":"x")"))).at("id").as_string());

    CHECK(fixture.ask(request("POST", "/v1/responses/" + id + "/cancel")).status == 400);
    CHECK(fixture.ask(request("POST", "/v1/responses/resp_0/cancel")).status == 404);
}

TEST_CASE("responses: a schema, a chosen tool and allowed tools reach the engine in its words")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = says("{}");
    auto const tools = std::string(
        R"("input":"x","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],)");

    fixture.ask(responses(
        R"("input":"x","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}}})"));
    fixture.ask(responses(tools + R"("tool_choice":{"type":"function","name":"g"})"));
    fixture.ask(responses(
        tools +
        R"("tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"}]})"));
    auto const hosted = fixture.ask(responses(tools + R"("tool_choice":{"type":"web_search"})"));

    CHECK(task_of(fixture, 0).at_pointer("/response_format/json_schema/schema/type") == "object");
    CHECK(task_of(fixture, 1).at_pointer("/tools/0/function/name") == "g");
    CHECK(task_of(fixture, 1).at("tool_choice") == "required");
    CHECK(task_of(fixture, 2).at_pointer("/tools/0/function/name") == "f");
    CHECK(hosted.status == 200);
    CHECK(!hosted.header("plexus-warning").empty());
}

TEST_CASE("responses: a wrong body is refused with the field at fault")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view fields, std::string_view param) {
        check_refused(fixture, path, fmt::format(R"({{"model":"tiny",{}}})", fields), param);
    };

    check_refused(fixture, path, R"({"input":"x"})", "model");
    check_refused(fixture, path, "{\"model\":\"m\",\"input\":\"\xff\"}", "");
    check_refused(fixture, path, std::string(100, '[') + std::string(100, ']'), "");
    refused(R"("stream":true)", "input");
    refused(R"("input":7)", "input");
    refused(R"("input":[])", "input");
    refused(R"("input":["x"])", "input");
    refused(R"("input":[{"type":"secret"}])", "input");
    refused(R"("input":[{"role":"king","content":"x"}])", "input");
    refused(R"("input":[{"role":"user"}])", "input");
    refused(R"("input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}])", "input");
    refused(R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x.example/a.png"}]}])",
            "input");
    refused(R"("input":[{"role":"user","content":[{"type":"input_text"}]}])", "input");
    refused(R"("input":[{"type":"function_call","name":"f"}])", "input");
    refused(R"("input":[{"type":"function_call_output","output":"x"}])", "input");
    refused(R"("input":[{"type":"item_reference"}])", "input");
    refused(R"("input":[{"type":"compaction","encrypted_content":"!"}])", "input");
    refused(R"("input":[{"type":"compaction","encrypted_content":"imae"}])", "input");  // no UTF-8
    refused(R"("input":"x","background":true)", "background");
    refused(R"("input":"x","conversation":"c")", "conversation");
    refused(R"("input":"x","prompt":{"id":"p"})", "prompt");
    refused(R"("input":"x","previous_response_id":7)", "previous_response_id");
    refused(R"("input":"x","max_output_tokens":0)", "max_output_tokens");
    refused(R"("input":"x","temperature":-1)", "temperature");
    refused(R"("input":"x","truncation":"some")", "truncation");
    refused(R"("input":"x","reasoning":"high")", "reasoning");
    refused(R"("input":"x","reasoning":{"effort":"a lot"})", "reasoning.effort");
    refused(R"("input":"x","text":{"format":{"type":"xml"}})", "text.format");
    refused(R"("input":"x","text":{"format":{"type":"json_schema","name":"n"}})", "text.format");
    refused(R"("input":"x","text":{"format":7})", "text.format");
    refused(R"("input":"x","tools":[7])", "tools");
    refused(R"("input":"x","tools":[{"type":"function"}])", "tools");
    refused(R"("input":"x","tool_choice":7)", "tool_choice");
    refused(R"("input":"x","tool_choice":"maybe")", "tool_choice");
    refused(R"("input":"x","tool_choice":{"type":"function","name":"f"})", "tool_choice");
    CHECK(fixture.answers.tasks.empty());
}

TEST_CASE("response store: the longest unused go first, by number, bytes and age")
{
    auto store = ResponseStore();
    auto now = Time{};
    auto const entry = [](std::size_t bytes) {
        return ResponseStore::Entry{{{"output", json::array{}}, {"text", std::string(bytes, 'x')}}, {}, {}};
    };

    store.put("a", entry(1), now);
    for (std::size_t count = 0; count < max_stored_responses - 1; ++count) {
        store.put(fmt::format("b{}", count), entry(1), now);
    }
    CHECK(store.find("a", now));
    store.put("c", entry(1), now);
    CHECK(store.size() == max_stored_responses);
    CHECK(store.find("a", now));
    CHECK(!store.find("b0", now));

    store.put("big", entry(max_stored_bytes - 200), now);
    CHECK(store.size() < 10);
    CHECK(store.bytes() <= max_stored_bytes);
    store.put("too big", entry(max_stored_bytes), now);
    CHECK(!store.find("too big", now));
    CHECK(store.find("big", now));

    now += response_lifetime + std::chrono::seconds(1);
    CHECK(!store.find("big", now));
    CHECK(store.size() == 0);
    CHECK(store.bytes() == 0);
}
