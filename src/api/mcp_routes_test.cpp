#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "api/api_testing.h"
#include "api/mcp_tools.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

std::string post(std::string_view body, std::string_view fields)
{
    return fmt::format(
        "POST /mcp HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}",
        port, token, body.size(), fields, body);
}

constexpr auto meta = std::string_view(R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                                       R"("io.modelcontextprotocol/clientCapabilities":{}})");

std::string modern(std::string_view method, std::string_view params = "", std::string_view name = "",
                   std::string_view more = "")
{
    auto const body = fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"{}","params":{{{}{}{}}}}})", method, meta,
                                  params.empty() ? "" : ",", params);
    auto fields = fmt::format("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {}\r\n{}", method, more);
    if (!name.empty()) {
        fields += fmt::format("Mcp-Name: {}\r\n", name);
    }
    return post(body, fields);
}

std::string legacy(std::string_view method, std::string_view params = "{}")
{
    return post(fmt::format(R"({{"jsonrpc":"2.0","id":"a","method":"{}","params":{}}})", method, params),
                "MCP-Protocol-Version: 2025-11-25\r\nAccept: application/json, text/event-stream\r\n");
}

json::value body_of(Reply const& reply)
{
    auto code = boost::system::error_code{};
    auto value = json::parse(reply.body, code);
    CHECK_MESSAGE(!code, reply.body);
    return value;
}

/// The messages of an event stream, comments left out.
std::vector<json::value> messages_of(Reply const& reply)
{
    auto messages = std::vector<json::value>{};
    auto text = std::string_view(reply.body);
    constexpr auto begin = std::string_view("event: message\ndata: ");
    for (auto place = text.find(begin); place != std::string_view::npos; place = text.find(begin)) {
        text.remove_prefix(place + begin.size());
        messages.push_back(json::parse(text.substr(0, text.find('\n'))));
    }
    return messages;
}

int code_of(Reply const& reply)
{
    return static_cast<int>(body_of(reply).at_pointer("/error/code").as_int64());
}

}  // namespace

TEST_CASE("mcp: a client of today finds out what there is")
{
    auto fixture = ApiFixture();

    auto const found = body_of(fixture.ask(modern("server/discover")));
    auto const tools = body_of(fixture.ask(modern("tools/list")));

    CHECK(found.at("id") == 7);
    CHECK(found.at_pointer("/result/resultType") == "complete");
    CHECK(found.at_pointer("/result/supportedVersions/0") == "2026-07-28");
    CHECK(found.at_pointer("/result/capabilities/tools").is_object());
    CHECK(tools.at_pointer("/result/tools").as_array().size() == 3);
    CHECK(tools.at_pointer("/result/ttlMs").as_int64() >= 0);
    CHECK(tools.at_pointer("/result/cacheScope") == "public");
}

TEST_CASE("mcp: a client of 2025 negotiates, is told no session, and lists the same tools")
{
    auto fixture = ApiFixture();

    auto const begun = fixture.ask(legacy("initialize", R"({"protocolVersion":"2025-06-18","capabilities":{}})"));
    auto const unknown = fixture.ask(legacy("initialize", R"({"protocolVersion":"1999-01-01","capabilities":{}})"));
    auto const told = fixture.ask(post(R"({"jsonrpc":"2.0","method":"notifications/initialized"})", ""));
    auto const tools = body_of(fixture.ask(legacy("tools/list")));

    CHECK(body_of(begun).at_pointer("/result/protocolVersion") == "2025-06-18");
    CHECK(begun.header("mcp-session-id").empty());
    CHECK(body_of(unknown).at_pointer("/result/protocolVersion") == "2025-11-25");
    CHECK(told.status == 202);
    CHECK(told.body.empty());
    CHECK(tools.at_pointer("/result/tools") == mcp_tools());
    CHECK(!tools.at("result").as_object().contains("resultType"));
    CHECK(body_of(fixture.ask(legacy("ping"))).at("result").as_object().empty());
}

TEST_CASE("mcp: ask streams progress and the answer of a model")
{
    auto fixture = ApiFixture();
    fixture.services.models = {{.id = "embedder", .is_chat = false}, {.id = "tiny", .is_local = true}};
    auto const waiting = Step{.event = {AnswerEvent::Kind::waiting, "loading the model", {}}};
    fixture.answers.steps = {waiting, routed("gaming-pc"), content("Red"), content(", green"), usage(), finished()};

    auto const reply = fixture.ask(modern("tools/call",
                                          R"("name":"ask","arguments":{"prompt":"Name two colours","max_tokens":9})",
                                          "ask", "Accept: application/json, text/event-stream\r\n"));

    CHECK(reply.header("content-type").starts_with("text/event-stream"));
    auto const messages = messages_of(reply);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].at_pointer("/result/structuredContent/text") == "Red, green");
    CHECK(messages[0].at_pointer("/result/structuredContent/device") == "gaming-pc");
    CHECK(messages[0].at_pointer("/result/content/0/text") == "Red, green");
    CHECK(messages[0].at_pointer("/result/isError") == false);
    auto const sent = json::parse(fixture.answers.tasks.at(0).body);
    CHECK(fixture.answers.tasks[0].model == "tiny");
    CHECK(sent.at("max_tokens") == 9);
    CHECK(sent.at_pointer("/messages/0/content") == "Name two colours");
}

TEST_CASE("mcp: progress is told only to those who gave a token for it")
{
    auto fixture = ApiFixture();
    auto const waiting = Step{.event = {AnswerEvent::Kind::waiting, "loading the model", {}}};
    fixture.answers.steps = {waiting, pause(3s), waiting, content("Red"), finished()};

    auto const reply = fixture.ask(legacy(
        "tools/call", R"({"name":"ask","arguments":{"prompt":"x","model":"tiny"},"_meta":{"progressToken":"p"}})"));

    auto const messages = messages_of(reply);
    REQUIRE(messages.size() == 2);
    CHECK(messages[0].at("method") == "notifications/progress");
    CHECK(messages[0].at_pointer("/params/progressToken") == "p");
    CHECK(messages[1].at("id") == "a");
}

TEST_CASE("mcp: lists come as text and as data")
{
    auto fixture = ApiFixture();
    fixture.services.models = {{.id = "tiny"}};

    auto const models = body_of(fixture.ask(modern("tools/call", R"("name":"models.list")", "models.list")));
    auto const devices = body_of(
        fixture.ask(modern("tools/call", R"("name":"mesh.devices")", "=?base64?bWVzaC5kZXZpY2Vz?=")));

    CHECK(models.at_pointer("/result/structuredContent/models/0/id") == "tiny");
    CHECK(std::string_view(models.at_pointer("/result/content/0/text").as_string()).contains("tiny"));
    CHECK(!devices.at_pointer("/result/structuredContent/devices").as_array().empty());
}

TEST_CASE("mcp: what a tool cannot do is told to the model, not to the protocol")
{
    auto fixture = ApiFixture();
    auto const error_of = [&](std::string_view arguments) {
        auto const body = body_of(
            fixture.ask(modern("tools/call", fmt::format(R"("name":"ask","arguments":{})", arguments), "ask")));
        CHECK(body.at_pointer("/result/isError") == true);
        return std::string(body.at_pointer("/result/content/0/text").as_string());
    };

    CHECK(error_of("{}") == "'prompt' is missing.");
    CHECK(error_of(R"({"prompt":7})") == "'prompt' must be a string.");
    CHECK(error_of(R"({"prompt":"x","temperature":9})").contains("between 0 and 2"));
    CHECK(error_of(R"({"prompt":"x"})").contains("No device has a chat model"));
    fixture.answers.refusal = Error{ErrorKind::not_found, ""};
    CHECK(error_of(R"({"prompt":"x","model":"none"})").contains("does not exist"));
}

TEST_CASE("mcp: headers that do not say what the body says are refused")
{
    auto fixture = ApiFixture();
    auto const body = fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{{}}}}})", meta);

    for (auto const fields : {"", "Mcp-Method: tools/list\r\n", "MCP-Protocol-Version: 2026-07-28\r\n",
                              "MCP-Protocol-Version: 2025-11-25\r\nMcp-Method: tools/list\r\n",
                              "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n"}) {
        auto const reply = fixture.ask(post(body, fields));
        CHECK(reply.status == 400);
        CHECK(code_of(reply) == -32020);
        CHECK(body_of(reply).at("id") == 7);
    }
    CHECK(code_of(fixture.ask(modern("tools/call", R"("name":"ask")", "models.list"))) == -32020);
    CHECK(code_of(fixture.ask(modern("tools/call", R"("name":"ask")"))) == -32020);
}

TEST_CASE("mcp: requests that say too little, or a version we do not speak, are refused")
{
    auto fixture = ApiFixture();
    auto const empty = R"({"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}})";
    auto const strange = R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{)"
                         R"("io.modelcontextprotocol/protocolVersion":"1900-01-01",)"
                         R"("io.modelcontextprotocol/clientCapabilities":{}}}})";

    CHECK(code_of(fixture.ask(post(empty, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: server/discover\r\n"))) ==
          -32602);
    auto const refused = fixture.ask(post(strange, "MCP-Protocol-Version: 1900-01-01\r\nMcp-Method: tools/list\r\n"));
    CHECK(refused.status == 400);
    CHECK(code_of(refused) == -32022);
    CHECK(body_of(refused).at_pointer("/error/data/supported/0") == "2026-07-28");
    CHECK(body_of(refused).at_pointer("/error/data/requested") == "1900-01-01");
}

TEST_CASE("mcp: unknown methods, and those of the other era, are not found")
{
    auto fixture = ApiFixture();

    for (auto const* method : {"initialize", "ping", "logging/setLevel", "resources/list", "nothing"}) {
        auto const reply = fixture.ask(modern(method));
        CHECK(reply.status == 404);
        CHECK(code_of(reply) == -32601);
    }
    CHECK(code_of(fixture.ask(legacy("resources/list"))) == -32601);
    CHECK(code_of(fixture.ask(modern("tools/call", R"("name":"none")", "none"))) == -32602);
    CHECK(fixture.ask(request("GET", "/mcp")).status == 405);
    CHECK(fixture.ask(request("DELETE", "/mcp")).status == 405);
}

TEST_CASE("mcp: what is no message is refused with the code of JSON-RPC")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view body, int code) {
        auto const reply = fixture.ask(post(body, ""));
        CHECK(reply.status == 400);
        CHECK(code_of(reply) == code);
    };

    refused("", -32700);
    refused("{", -32700);
    refused("[]", -32700);
    refused(R"({"id":1,"method":"ping"})", -32600);
    refused(R"({"jsonrpc":"2.0","id":1})", -32600);
    refused(R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})", -32600);
    refused(R"({"jsonrpc":"2.0","id":null,"method":"ping"})", -32600);
    refused(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":[]})", -32602);
    refused(std::string(100, '[') + std::string(100, ']'), -32700);
}

TEST_CASE("mcp: a subscription is acknowledged and stays open")
{
    auto fixture = ApiFixture();

    auto const text = fixture.exchange_raw(
        modern("subscriptions/listen", R"("notifications":{"toolsListChanged":true})"), Door::loopback, 10s);

    auto const replies = parse_replies(text);
    auto const messages = messages_of(replies.at(0));
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].at("method") == "notifications/subscriptions/acknowledged");
    CHECK(messages[0].as_object().at("params").at("_meta").at("io.modelcontextprotocol/subscriptionId") == 7);
    CHECK(text.contains(": keep-alive"));
}
