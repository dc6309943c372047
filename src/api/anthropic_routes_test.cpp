#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/api_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

std::string message(std::string_view fields = "", std::string_view target = "/v1/messages?beta=true")
{
    auto const body = fmt::format(
        R"({{"model":"tiny","max_tokens":16,"messages":[{{"role":"user","content":"hello"}}]{}{}}})",
        fields.empty() ? "" : ",", fields);
    return request("POST", target, body);
}

struct Event {
    std::string name;
    json::value data;
};

/// The events of a stream, comments left out; each must name its type twice.
std::vector<Event> events_of(Reply const& reply)
{
    auto events = std::vector<Event>{};
    auto text = std::string_view(reply.body);
    while (!text.empty()) {
        auto const end = text.find("\n\n");
        REQUIRE(end != std::string_view::npos);
        auto const block = text.substr(0, end);
        text.remove_prefix(end + 2);
        if (block.starts_with(":")) {
            continue;
        }
        auto const middle = block.find("\ndata: ");
        REQUIRE(block.starts_with("event: "));
        REQUIRE(middle != std::string_view::npos);
        events.push_back({std::string(block.substr(7, middle - 7)), json::parse(block.substr(middle + 7))});
        CHECK(events.back().data.at("type").as_string() == events.back().name);
    }
    return events;
}

std::string names_of(std::vector<Event> const& events)
{
    auto names = std::string{};
    for (auto const& event : events) {
        names += (names.empty() ? "" : " ") + event.name;
    }
    return names;
}

std::string error_type(Reply const& reply)
{
    auto const body = json::parse(reply.body);
    CHECK(body.at("type") == "error");
    CHECK(!body.at_pointer("/error/message").as_string().empty());
    return std::string(body.at_pointer("/error/type").as_string());
}

}  // namespace

TEST_CASE("messages: a whole answer has its blocks in order, the reason for its end, and usage without what was cached")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        routed("gaming-pc"),
        reasoning("Hm, "),
        reasoning("well."),
        content("I "),
        content("look."),
        calling(R"("index":0,"id":"c1","type":"function","function":{"name":"find","arguments":""})"),
        calling(R"("index":0,"function":{"arguments":"{\"q\":"})"),
        calling(R"("index":0,"function":{"arguments":"1}"})"),
        ending("tool_calls"),
        chunk(
            R"({"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":10}}})"),
        finished()};

    auto const reply = fixture.ask(message());

    CHECK(reply.status == 200);
    CHECK(reply.header("plexus-route") == "gaming-pc");
    CHECK(reply.header("request-id") == reply.header("x-request-id"));
    auto const body = json::parse(reply.body);
    CHECK(body.at("type") == "message");
    CHECK(body.at("role") == "assistant");
    CHECK(body.at("model") == "tiny");
    CHECK(body.at("stop_reason") == "tool_use");
    CHECK(body.at("stop_sequence").is_null());
    auto const& blocks = body.at("content").as_array();
    REQUIRE(blocks.size() == 3);
    CHECK(blocks[0].at("thinking") == "Hm, well.");
    CHECK(!blocks[0].at("signature").as_string().empty());
    CHECK(blocks[1].at("text") == "I look.");
    CHECK(blocks[2].at("id") == "c1");
    CHECK(blocks[2].at("name") == "find");
    CHECK(blocks[2].at("input") == json::parse(R"({"q":1})"));
    CHECK(body.at_pointer("/usage/input_tokens") == 20);
    CHECK(body.at_pointer("/usage/cache_read_input_tokens") == 10);
    CHECK(body.at_pointer("/usage/output_tokens") == 7);
}

TEST_CASE("messages: a stream has its events in Anthropic's order")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {routed("gaming-pc"),
                             reasoning("Hm."),
                             content("Red"),
                             content(" one"),
                             calling(R"("index":0,"id":"c1","function":{"name":"find","arguments":"{}"})"),
                             calling(R"("index":1,"id":"c2","function":{"name":"look","arguments":"{\"a\":"})"),
                             calling(R"("index":1,"function":{"arguments":"2}"})"),
                             ending("tool_calls"),
                             usage(),
                             finished()};

    auto const reply = fixture.ask(message(R"("stream":true)"));

    CHECK(reply.header("content-type") == "text/event-stream; charset=utf-8");
    auto const events = events_of(reply);
    CHECK(names_of(events) ==
          "message_start "
          "content_block_start content_block_delta content_block_delta content_block_stop "
          "content_block_start content_block_delta content_block_delta content_block_stop "
          "content_block_start content_block_delta content_block_stop "
          "content_block_start content_block_delta content_block_delta content_block_stop "
          "message_delta message_stop");
    REQUIRE(events.size() == 18);
    CHECK(events[0].data.at_pointer("/message/content").as_array().empty());
    CHECK(events[0].data.at_pointer("/message/stop_reason").is_null());
    CHECK(events[1].data.at_pointer("/content_block/type") == "thinking");
    CHECK(events[2].data.at_pointer("/delta/thinking") == "Hm.");
    CHECK(events[3].data.at_pointer("/delta/type") == "signature_delta");
    CHECK(events[6].data.at_pointer("/delta/text") == "Red");
    CHECK(events[6].data.at("index") == 1);
    CHECK(events[9].data.at_pointer("/content_block/input").as_object().empty());
    CHECK(events[12].data.at_pointer("/content_block/name") == "look");
    CHECK(events[13].data.at_pointer("/delta/partial_json") == "{\"a\":");
    CHECK(events[16].data.at_pointer("/delta/stop_reason") == "tool_use");
    CHECK(events[16].data.at_pointer("/usage/output_tokens") == 2);
    CHECK(events[16].data.at_pointer("/usage/input_tokens") == 3);
}

TEST_CASE("messages: silence is filled with pings")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {pause(10s), content("Red"), ending("length"), usage(), finished()};

    auto const events = events_of(fixture.ask(message(R"("stream":true)")));

    REQUIRE(events.size() > 4);
    CHECK(events[0].name == "message_start");
    CHECK(events[1].name == "ping");
    CHECK(events[events.size() - 2].data.at_pointer("/delta/stop_reason") == "max_tokens");
}

TEST_CASE("messages: what the client began is not told again")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("{\\\"a\\\":"), content("1}"), ending("stop"), finished()};
    auto const begun = request("POST", "/v1/messages", R"({"model":"tiny","max_tokens":9,"messages":
        [{"role":"user","content":"hello"},{"role":"assistant","content":"{\"a\":"}]})");

    CHECK(json::parse(fixture.ask(begun).body).at_pointer("/content/0/text") == "1}");
}

TEST_CASE("messages: thinking that shall not be shown keeps its block")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {reasoning("secret"), content("Red"), ending("stop"), finished()};

    auto const reply = fixture.ask(message(R"("thinking":{"type":"adaptive","display":"omitted"},"stream":true)"));

    CHECK(reply.body.find("secret") == std::string::npos);
    CHECK(reply.body.find("signature_delta") != std::string::npos);
}

TEST_CASE("messages: tools that only Anthropic has are left out with a warning")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), finished()};

    auto const tools = R"("tools":[{"type":"web_search_20250305","name":"web_search"}])";
    auto const plain = fixture.ask(message(tools));
    auto const streamed = fixture.ask(message(tools + std::string(R"(,"stream":true)")));

    CHECK(plain.header("plexus-warning") == "not here, left out: web_search_20250305");
    CHECK(streamed.header("plexus-warning") == plain.header("plexus-warning"));
    CHECK(!json::parse(fixture.answers.tasks[0].body).as_object().contains("tools"));
}

TEST_CASE("messages: a failure is an answer before the first byte and an event after it")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {failure(ErrorKind::too_large, "the prompt has 5000 tokens, the context holds 4096")};
    auto const long_prompt = fixture.ask(message());
    fixture.answers.steps = {content("Red"), failure(ErrorKind::closed, "the device went away")};
    auto const broken = events_of(fixture.ask(message(R"("stream":true)")));
    fixture.answers.refusal = Error{ErrorKind::unavailable, "every queue is full"};
    auto const busy = fixture.ask(message());

    CHECK(long_prompt.status == 400);
    CHECK(error_type(long_prompt) == "invalid_request_error");
    CHECK(long_prompt.body.find("prompt is too long: the prompt has 5000 tokens") != std::string::npos);
    CHECK(json::parse(long_prompt.body).at("request_id").as_string() == long_prompt.header("request-id"));
    CHECK(broken.back().name == "error");
    CHECK(broken.back().data.at_pointer("/error/type") == "api_error");
    CHECK(busy.status == 529);
    CHECK(error_type(busy) == "overloaded_error");
    CHECK(!busy.header("retry-after").empty());
}

TEST_CASE("messages: every refusal on these paths has Anthropic's shape")
{
    auto fixture = ApiFixture();
    auto without_token = message();
    without_token.erase(without_token.find("Authorization"),
                        without_token.find("Connection") - without_token.find("Authorization"));
    auto foreign = message();
    foreign.insert(foreign.find("Connection"), "Origin: http://evil.example\r\n");
    auto huge = std::string("POST /v1/messages HTTP/1.1\r\nHost: localhost:7597\r\nAuthorization: Bearer ");
    huge += std::string(token) + "\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{";

    CHECK(fixture.ask(without_token).status == 401);
    CHECK(error_type(fixture.ask(without_token)) == "authentication_error");
    CHECK(error_type(fixture.ask(foreign)) == "permission_error");
    CHECK(error_type(fixture.ask(request("POST", "/v1/messages", "{"))) == "invalid_request_error");
    CHECK(error_type(fixture.ask(request("GET", "/v1/messages"))) == "invalid_request_error");
    CHECK(fixture.ask(request("GET", "/v1/messages")).header("allow") == "POST");
    CHECK(error_type(fixture.ask(request("POST", "/v1/messages/batches", "{}"))) == "not_found_error");
    CHECK(error_type(fixture.ask(huge)) == "request_too_large");
    fixture.answers.refusal = Error{ErrorKind::not_found, ""};
    CHECK(error_type(fixture.ask(message())) == "not_found_error");
}

TEST_CASE("messages: the key may come as x-api-key")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), finished()};
    auto keyed = message();
    auto const place = keyed.find("Authorization: Bearer ");
    keyed.replace(place, std::string_view("Authorization: Bearer ").size(), "x-api-key: ");
    auto wrong = keyed;
    wrong.replace(wrong.find(token), 4, "plz-");

    CHECK(fixture.ask(keyed).status == 200);
    CHECK(fixture.ask(wrong).status == 401);
}

TEST_CASE("messages: tokens are counted by a task of that kind")
{
    auto fixture = ApiFixture();
    fixture.answers.steps_of[TaskKind::tokenize] = {chunk(R"({"tokens":42,)"), chunk(R"("context":4096})"), finished()};

    auto const reply = fixture.ask(message("", "/v1/messages/count_tokens"));
    fixture.answers.steps_of[TaskKind::tokenize] = {chunk("nonsense"), finished()};
    auto const broken = fixture.ask(message("", "/v1/messages/count_tokens"));

    CHECK(reply.body == R"({"input_tokens":42})");
    CHECK(broken.status == 502);
    CHECK(error_type(broken) == "api_error");
}

TEST_CASE("messages: models are listed in Anthropic's shape to who says its version")
{
    auto fixture = ApiFixture();
    fixture.services.models = {{.id = "tiny", .digest = "beef", .context_length = 2048, .created_seconds = 86400}};
    auto const versioned = [](std::string_view target) {
        auto text = request("GET", target);
        return text.insert(text.find("Connection"), "anthropic-version: 2023-06-01\r\n");
    };

    auto const list = json::parse(fixture.ask(versioned("/v1/models?limit=1000")).body);
    auto const one = json::parse(fixture.ask(versioned("/v1/models/tiny")).body);

    CHECK(list.at_pointer("/data/0") == one);
    CHECK(list.at("has_more") == false);
    CHECK(list.at("first_id") == "tiny");
    CHECK(one.at("type") == "model");
    CHECK(one.at("created_at") == "1970-01-02T00:00:00.000Z");
    CHECK(one.at("max_input_tokens") == 2048);
    CHECK(error_type(fixture.ask(versioned("/v1/models/nope"))) == "not_found_error");
    CHECK(json::parse(fixture.ask(request("GET", "/v1/models")).body).at("object") == "list");
}

TEST_CASE("messages: a hostile engine gives typed errors")
{
    auto fixture = ApiFixture();
    auto const answer_to = [&](std::string_view text) {
        fixture.answers.steps = {chunk(std::string(text)), finished()};
        return fixture.ask(message());
    };

    CHECK(answer_to("not json").status == 502);
    CHECK(answer_to(R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})").status == 502);
    CHECK(
        answer_to(
            R"({"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"a"}},{"index":0,"function":{"name":"b"}}]}}]})")
            .status == 502);
    CHECK(answer_to(R"({"choices":[7],"usage":{"prompt_tokens":-1e300}})").status == 200);
    CHECK(answer_to(R"({"choices":[{"delta":{"tool_calls":[{"index":1e30,"function":{"name":"a"}}]}}]})").status ==
          200);
}
