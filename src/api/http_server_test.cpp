#include <doctest/doctest.h>

#include "api/api_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace {

auto const health = std::string("GET /healthz HTTP/1.1\r\nHost: localhost:7597\r\n\r\n");
auto const last_health = std::string("GET /healthz HTTP/1.1\r\nHost: localhost:7597\r\nConnection: close\r\n\r\n");

}  // namespace

TEST_CASE("http server: pipelined requests are answered in order on one connection")
{
    auto fixture = ApiFixture();

    auto const replies = parse_replies(fixture.exchange_raw(health + health + last_health));

    REQUIRE(replies.size() == 3);
    CHECK(replies[0].header("connection") == "keep-alive");
    CHECK(replies[2].header("connection") == "close");
    CHECK(replies[0].header("x-request-id") != replies[1].header("x-request-id"));
}

TEST_CASE("http server: a client that waits for 100 Continue is told to go on")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("hi"), finished()};
    auto text = chat();
    text.insert(text.find("Connection"), "Expect: 100-continue\r\n");
    auto const body_at = text.find("\r\n\r\n") + 4;

    auto received = std::string{};
    auto talk = [&]() -> Task<> {
        auto const deadline = fixture.device.deadline_in(5s);
        auto const to = Endpoint{fixture.device.address(), port};
        auto const socket = (co_await fixture.device.network().connect(to, deadline)).value();
        auto buffer = Bytes(4096);
        CHECK(co_await socket->write(as_view(text.substr(0, body_at))));
        received += as_text(ByteView(buffer).first((co_await socket->read_some(buffer)).value()));
        CHECK(co_await socket->write(as_view(text.substr(body_at))));
        while (auto const count = (co_await socket->read_some(buffer)).value_or(0)) {
            received += as_text(ByteView(buffer).first(count));
        }
    };
    REQUIRE(fixture.world.run(talk()));

    auto const replies = parse_replies(received);
    REQUIRE(replies.size() == 2);
    CHECK(replies[0].status == 100);
    CHECK(replies[1].status == 200);
}

TEST_CASE("http server: a sender that is too slow with its head gets 408 and is closed")
{
    auto fixture = ApiFixture();
    auto const start = fixture.world.now();

    auto const reply = fixture.ask("GET /healthz HTT", Door::loopback, 60s);

    CHECK(reply.status == 408);
    CHECK(fixture.world.now() - start < 15s);
}

TEST_CASE("http server: a sender that is too slow with its body gets 408 and is closed")
{
    auto fixture = ApiFixture();
    auto text = chat();
    text.pop_back();

    CHECK(fixture.ask(text, Door::loopback, 120s).status == 408);
    CHECK(fixture.answers.tasks.empty());
}

TEST_CASE("http server: an idle connection is closed without a word")
{
    auto fixture = ApiFixture();
    auto const start = fixture.world.now();

    auto const received = fixture.exchange_raw(health, Door::loopback, 10min);

    CHECK(parse_replies(received).size() == 1);
    CHECK(fixture.world.now() - start > 100s);
    CHECK(fixture.world.now() - start < 150s);
}

TEST_CASE("http server: connections over the limit are turned away with 503")
{
    auto options = ApiOptions{};
    options.http.connections = 0;
    auto fixture = ApiFixture(1, options);

    auto const reply = fixture.ask(last_health);

    CHECK(reply.status == 503);
    CHECK(reply.header("retry-after") == "1");
    CHECK(reply.header("x-request-id").starts_with("req_"));
}

TEST_CASE("http server: a refused body is not read, and the client still learns why")
{
    auto fixture = ApiFixture();
    auto const body = std::string(9 << 20, 'a');

    auto const reply = fixture.ask(request("POST", "/v1/chat/completions", body));

    CHECK(reply.status == 413);
    CHECK(reply.body.find("8 MiB") != std::string::npos);
}

TEST_CASE("http server: a client that hangs up cancels its task within a second")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("one"), pause(1h), content("two"), finished()};

    auto const received = fixture.exchange_raw(chat(R"("stream":true)"), Door::loopback, 3s);
    auto const left = fixture.world.now();
    fixture.world.run_for(2s);

    CHECK(received.find("one") != std::string::npos);
    CHECK(fixture.answers.running == 0);
    REQUIRE(fixture.answers.cancelled_at.has_value());
    CHECK(*fixture.answers.cancelled_at - left < 1s);
}

TEST_CASE("http server: a client of a plain answer that hangs up cancels its task too")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {pause(1h), finished()};

    fixture.exchange_raw(chat(), Door::loopback, 3s);
    auto const left = fixture.world.now();
    fixture.world.run_for(2s);

    CHECK(fixture.answers.running == 0);
    REQUIRE(fixture.answers.cancelled_at.has_value());
    CHECK(*fixture.answers.cancelled_at - left < 1s);
}

TEST_CASE("http server: stopping cancels what runs")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {pause(1h), finished()};
    auto received = std::string{};
    auto talk = [&]() -> Task<> {
        auto const deadline = fixture.device.deadline_in(5s);
        auto const to = Endpoint{fixture.device.address(), port};
        auto const socket = (co_await fixture.device.network().connect(to, deadline)).value();
        CHECK(co_await socket->write(as_view(chat())));
        co_await sleep_for(fixture.device, 1s);
        CHECK(fixture.answers.running == 1);
        co_await fixture.api->stop();
        CHECK(fixture.answers.running == 0);
    };

    CHECK(fixture.world.run(talk()));
}

TEST_CASE("http server: HTTP/1.0 streams end with the connection and have no chunk framing")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("hi"), finished()};
    auto text = chat(R"("stream":true)");
    text.replace(text.find("HTTP/1.1"), 8, "HTTP/1.0");

    auto const reply = fixture.ask(text);

    CHECK(reply.status == 200);
    CHECK(reply.header("transfer-encoding").empty());
    CHECK(reply.body.starts_with("data: {"));
    CHECK(reply.body.ends_with("data: [DONE]\n\n"));
}

TEST_CASE("http server: garbage gets 400 and the connection ends")
{
    auto fixture = ApiFixture();

    CHECK(fixture.ask("\x01\x02\x03\r\n\r\n").status == 400);
    CHECK(fixture.ask(last_health).status == 200);
}
