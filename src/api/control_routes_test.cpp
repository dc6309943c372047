#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/api_testing.h"
#include "api/token.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

std::string local(std::string_view method, std::string_view target, std::string_view body = "")
{
    auto text = request(method, target, body);
    return text.replace(text.find("localhost:7597"), 14, "plexus");
}

json::value body_of(Reply const& reply)
{
    return json::parse(reply.body);
}

}  // namespace

TEST_CASE("control: status, devices and checks")
{
    auto fixture = ApiFixture();

    CHECK(body_of(fixture.ask(request("GET", "/api/v1/status"))).at("device") == "laptop");
    CHECK(body_of(fixture.ask(request("GET", "/api/v1/devices"))).at_pointer("/devices/0/self") == true);
    CHECK(body_of(fixture.ask(request("GET", "/api/v1/checks"))).at_pointer("/checks/0/good") == false);
}

TEST_CASE("control: the status tells the grade, the doors that are open for a GPU, and the GPU")
{
    auto fixture = ApiFixture();
    auto const status = body_of(fixture.ask(request("GET", "/api/v1/status")));

    CHECK(status.at_pointer("/sandbox/grade") == "B");
    CHECK(status.at_pointer("/sandbox/doors/0") == "render-nodes");
    CHECK(status.at_pointer("/computing/gpu") == "A card");
    CHECK(status.at_pointer("/computing/gpus/0/kind") == "discrete");
    CHECK(fixture.ask(request("GET", "/metrics")).body.contains(R"(plexus_sandbox_grade{grade="B"} 1)"));
}

TEST_CASE("control: an invite shows its link once, is listed without it, and can be withdrawn")
{
    auto fixture = ApiFixture();

    auto const made = fixture.ask(request("POST", "/api/v1/invites", R"({"ttl_seconds":60,"role":"guest"})"));
    CHECK(made.status == 201);
    CHECK(body_of(made).at("link") == "plexus:secret");
    CHECK(body_of(made).at("expires_unix_ms") == 60'000);
    auto const listed = fixture.ask(request("GET", "/api/v1/invites"));
    CHECK(listed.body.find("secret") == std::string::npos);
    CHECK(fixture.ask(request("DELETE", "/api/v1/invites/i1")).status == 200);
    CHECK(fixture.ask(request("DELETE", "/api/v1/invites/i1")).status == 404);
    CHECK(fixture.ask(request("POST", "/api/v1/invites", R"({"ttl_seconds":0})")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/invites", R"({"role":7})")).status == 400);
}

TEST_CASE("control: a device that knew the code is listed with its invite, and let in or not")
{
    auto fixture = ApiFixture();
    auto const made = fixture.ask(request("POST", "/api/v1/invites", "{}"));
    CHECK(body_of(made).at("code") == "482913");
    CHECK(body_of(made).at("applicant").is_null());
    fixture.services.open_invites.front().applicant = {
        .id = "12D3KooWAna", .name = "ana-pc", .address = "/ip4/10.0.0.7"};
    auto const listed = fixture.ask(request("GET", "/api/v1/invites"));
    CHECK(listed.body.find("482913") == std::string::npos);
    CHECK(body_of(listed).at_pointer("/invites/0/applicant/name") == "ana-pc");

    auto const path = std::string("/api/v1/invites/i1");
    CHECK(fixture.ask(request("POST", path, "{}")).status == 400);
    CHECK(fixture.ask(request("POST", path, R"({"device":"12D3KooWAna"})")).status == 400);
    CHECK(fixture.ask(request("POST", path, R"({"device":"12D3KooWAna","let_in":"yes"})")).status == 400);
    CHECK(fixture.ask(request("POST", path, R"({"device":"12D3KooWEve","let_in":true})")).status == 404);
    CHECK_FALSE(fixture.services.let_in);
    CHECK(fixture.ask(request("POST", path, R"({"device":"12D3KooWAna","let_in":true})")).status == 200);
    CHECK(fixture.services.let_in == true);
    CHECK(fixture.ask(request("POST", path, R"({"device":"12D3KooWAna","let_in":true})")).status == 404);
}

TEST_CASE("control: a device is revoked by its name")
{
    auto fixture = ApiFixture();
    CHECK(body_of(fixture.ask(request("DELETE", "/api/v1/devices/phone"))).at("id") == "12D3KooWPhone");
    CHECK(fixture.ask(request("DELETE", "/api/v1/devices/attic")).status == 404);
    CHECK(fixture.ask(request("DELETE", "/api/v1/devices")).status == 405);
}

TEST_CASE("control: joining gives the devices, a used link gives a sentence and a next step")
{
    auto fixture = ApiFixture();

    CHECK(fixture.ask(request("POST", "/api/v1/joins", R"({"link":"plexus:secret"})")).status == 201);
    auto const used = fixture.ask(request("POST", "/api/v1/joins", R"({"link":"plexus:other"})"));
    CHECK(used.status == 403);
    CHECK(used.header("content-type") == "application/problem+json");
    CHECK(body_of(used).at("detail") == "this invite has been used");
    CHECK(body_of(used).at("code") == "not_allowed");
    CHECK(!body_of(used).at("next").as_string().empty());
    CHECK(fixture.ask(request("POST", "/api/v1/joins", "{}")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/joins", R"({"code":"482913"})")).status == 201);
    CHECK(fixture.ask(request("POST", "/api/v1/joins", R"({"code":"482913","link":"plexus:secret"})")).status == 400);
}

TEST_CASE("control: a file is imported over the Unix socket only, with progress as JSON lines")
{
    auto fixture = ApiFixture();
    auto const body = R"({"path":"/tmp/tiny.gguf","name":"tiny"})";

    CHECK(fixture.ask(request("POST", "/api/v1/models", body)).status == 403);
    CHECK(fixture.services.changes == 0);
    auto const reply = fixture.ask(local("POST", "/api/v1/models", body), Door::local_socket);
    CHECK(reply.status == 200);
    auto const last = reply.body.substr(reply.body.rfind('\n', reply.body.size() - 2) + 1);
    CHECK(json::parse(last).at("type") == "done");
    CHECK(json::parse(last).at_pointer("/model/id") == "tiny");

    auto const bad = local("POST", "/api/v1/models", R"({"path":"/tmp/notes.txt"})");
    CHECK(fixture.ask(bad, Door::local_socket).body.find("\"code\":\"malformed\"") != std::string::npos);
    auto const relative = local("POST", "/api/v1/models", R"({"path":"notes.txt"})");
    CHECK(fixture.ask(relative, Door::local_socket).status == 400);
}

TEST_CASE("control: models are loaded, pinned, listed with their memory, and unloaded")
{
    auto fixture = ApiFixture();
    auto const loaded = fixture.ask(request("POST", "/api/v1/models/family/tiny/load", "{}"));
    CHECK(loaded.status == 200);
    CHECK(loaded.body.contains(R"("model":"family/tiny")"));

    CHECK(fixture.ask(request("POST", "/api/v1/models/family/tiny/pin", R"({"pinned":"yes"})")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/models/family/tiny/pin", "{}")).status == 200);
    auto const listed = fixture.ask(request("GET", "/api/v1/engines"));
    CHECK(listed.body.contains(R"("pinned":true)"));
    CHECK(listed.body.contains(R"("used_of_predicted":9E-1)"));
    CHECK(fixture.ask(request("GET", "/metrics"))
              .body.contains(R"(plexus_engine_used_of_predicted{model="family/tiny"} 0.9)"));

    CHECK(fixture.ask(request("POST", "/api/v1/models/family/tiny/unload", "{}")).status == 200);
    CHECK(fixture.ask(request("POST", "/api/v1/models/family/tiny/unload", "{}")).status == 404);
    CHECK(fixture.ask(request("POST", "/api/v1/models/tiny/dance", "{}")).status == 404);
}

TEST_CASE("control: a model gets a draft model by its name and loses it by null, and its guesses are counted")
{
    auto fixture = ApiFixture();
    fixture.services.loaded = {{.model = "tiny", .draft = "small", .drafted_tokens = 9, .accepted_tokens = 7}};
    auto const path = std::string("/api/v1/models/tiny/draft");

    auto const listed = body_of(fixture.ask(request("GET", "/api/v1/engines")));
    auto const metrics = fixture.ask(request("GET", "/metrics")).body;
    CHECK(listed.at_pointer("/engines/0/draft") == "small");
    CHECK(listed.at_pointer("/engines/0/accepted_tokens") == 7);
    CHECK(metrics.contains(R"(plexus_engine_drafted_tokens_total{model="tiny"} 9)"));
    CHECK(metrics.contains(R"(plexus_engine_accepted_tokens_total{model="tiny"} 7)"));

    CHECK(fixture.ask(request("POST", path, R"({"draft":"other"})")).status == 200);
    CHECK(fixture.services.loaded.front().draft == "other");
    CHECK(fixture.ask(request("POST", path, R"({"draft":null})")).body == R"({"draft":null})");
    CHECK(fixture.services.loaded.front().draft.empty());
    CHECK(fixture.ask(request("POST", path, R"({"draft":"stranger"})")).status == 400);
    for (auto const* body : {"{}", R"({"draft":""})", R"({"draft":7})", "[]"}) {
        CHECK(fixture.ask(request("POST", path, body)).status == 400);
    }
}

TEST_CASE("control: engines of the owner are added, tested and removed over the Unix socket only, and listed")
{
    auto fixture = ApiFixture();
    auto const order = R"({"url":"http://localhost:8000","token_file":"/token"})";
    auto const path = std::string("/api/v1/external-engines");
    auto const known = path + "/http%3A%2F%2Flocalhost%3A8000";
    auto const ask = [&](std::string_view method, std::string const& target, std::string_view body) {
        return fixture.ask(local(method, target, body), Door::local_socket);
    };

    CHECK(fixture.ask(request("POST", path, order)).status == 403);
    CHECK(fixture.ask(request("DELETE", known)).status == 403);
    CHECK(fixture.services.changes == 0);
    CHECK(ask("POST", path, order).status == 200);
    CHECK(ask("POST", path, "{}").status == 400);
    CHECK(ask("POST", path, R"({"url":"http://localhost:8000","token_file":"token"})").status == 400);
    auto const listed = body_of(fixture.ask(request("GET", path)));
    CHECK(listed.at_pointer("/engines/0/grade") == "external, not sandboxed by us");
    CHECK(ask("POST", known + "/test", "{}").status == 200);
    CHECK(ask("POST", known + "/dance", "{}").status == 404);
    CHECK(ask("DELETE", known, "").status == 200);
    CHECK(ask("DELETE", known, "").status == 404);
}

TEST_CASE("control: a model for which memory does not suffice is 503 with both numbers")
{
    auto fixture = ApiFixture();
    fixture.services.load_refusal = Error{ErrorKind::unavailable,
                                          "the model needs 5.1 GB of memory, 3.2 GB can be had"};
    auto const refused = fixture.ask(request("POST", "/api/v1/models/tiny/load", "{}"));
    CHECK(refused.status == 503);
    CHECK(refused.body.contains("5.1 GB"));
}

TEST_CASE("control: models are removed by name")
{
    auto fixture = ApiFixture();
    fixture.services.models = {{.id = "org/tiny"}};

    CHECK(fixture.ask(request("DELETE", "/api/v1/models/org/tiny")).status == 200);
    CHECK(fixture.ask(request("DELETE", "/api/v1/models/org/tiny")).status == 404);
}

TEST_CASE("control: the daemon is shut down over the Unix socket only")
{
    auto fixture = ApiFixture();

    CHECK(fixture.ask(request("POST", "/api/v1/shutdown", "{}")).status == 403);
    CHECK(!fixture.services.was_shut_down);
    CHECK(fixture.ask(local("POST", "/api/v1/shutdown", "{}"), Door::local_socket).status == 202);
    CHECK(fixture.services.was_shut_down);
}

TEST_CASE("api: a refused request does nothing at all")
{
    auto fixture = ApiFixture();
    auto const body = std::string(R"({"link":"plexus:secret"})");
    auto const refused = [&](std::string_view from, std::string_view to, int status) {
        auto text = request("POST", "/api/v1/joins", body);
        auto const place = text.find(from);
        REQUIRE(place != std::string::npos);
        text.replace(place, from.size(), to);
        CHECK(fixture.ask(text).status == status);
    };

    refused("localhost:7597", "evil.example:7597", 403);
    refused("Connection", "Origin: https://evil.example\r\nConnection", 403);
    refused("Connection", "Sec-Fetch-Site: cross-site\r\nConnection", 403);
    refused(std::string(token), "plx-wrong", 401);
    refused("application/json", "text/plain", 415);
    CHECK(fixture.services.changes == 0);
}

TEST_CASE("api: unknown paths are 404, known paths with another method 405 with Allow")
{
    auto fixture = ApiFixture();

    CHECK(fixture.ask(request("GET", "/api/v1/other")).status == 404);
    CHECK(fixture.ask(request("GET", "/v1/other")).body.find("\"error\"") != std::string::npos);
    CHECK(fixture.ask(request("GET", "/v1/models/%zz")).status == 400);
    auto const wrong = fixture.ask(request("DELETE", "/api/v1/invites"));
    CHECK(wrong.status == 405);
    CHECK(wrong.header("allow") == "GET, POST");
    CHECK(fixture.ask(request("OPTIONS", "/v1/chat/completions")).status == 405);
}

TEST_CASE("api: every response carries the security headers and an id, none a cross-origin permission")
{
    auto fixture = ApiFixture();

    for (auto const& text : {request("GET", "/v1/models"), request("GET", "/nothing"), std::string("bad\r\n\r\n")}) {
        auto const reply = fixture.ask(text);
        CHECK(reply.header("x-content-type-options") == "nosniff");
        CHECK(reply.header("cache-control") == "no-store");
        CHECK(reply.header("x-request-id").starts_with("req_"));
        CHECK(reply.header("access-control-allow-origin").empty());
    }
}

TEST_CASE("api: a page of an approved origin is told that it may ask and read, others nothing")
{
    auto options = ApiOptions{};
    options.guard.origins = {"https://app.example"};
    auto fixture = ApiFixture(1, options);
    auto const question = [](std::string_view origin) {
        return fmt::format(
            "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost:7597\r\nOrigin: {}\r\n"
            "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,x-some\r\n"
            "Connection: close\r\n\r\n",
            origin);
    };

    auto const granted = fixture.ask(question("https://app.example"));
    auto const refused = fixture.ask(question("https://evil.example"));
    auto text = request("GET", "/v1/models");
    auto const read = fixture.ask(text.insert(text.find("Connection"), "Origin: https://app.example\r\n"));

    CHECK(granted.status == 204);
    CHECK(granted.header("access-control-allow-origin") == "https://app.example");
    CHECK(granted.header("access-control-allow-headers") == "authorization,x-some");
    CHECK(granted.header("access-control-allow-credentials").empty());
    CHECK(granted.header("vary") == "Origin");
    CHECK(refused.status == 403);
    CHECK(refused.header("access-control-allow-origin").empty());
    CHECK(read.status == 200);
    CHECK(read.header("access-control-allow-origin") == "https://app.example");
}

TEST_CASE("api: readiness follows the device, HEAD has no body")
{
    auto fixture = ApiFixture();
    fixture.services.is_ready = false;

    CHECK(fixture.ask(request("GET", "/readyz")).status == 503);
    CHECK(fixture.ask(request("GET", "/healthz")).status == 200);
    auto const head = fixture.exchange_raw(request("HEAD", "/healthz"));
    CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("api: metrics count requests and tasks in Prometheus text")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("hi"), finished()};
    fixture.ask(chat());

    auto const reply = fixture.ask(request("GET", "/metrics"));

    CHECK(reply.header("content-type").starts_with("text/plain"));
    CHECK(reply.body.find("plexus_api_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1\n") !=
          std::string::npos);
    CHECK(reply.body.find("plexus_tasks_total{outcome=\"done\"} 1\n") != std::string::npos);
}

TEST_CASE("api token: it is made once, kept, and refused when others may read it")
{
    auto world = sim::World(1);
    auto& device = world.add_device("laptop");
    REQUIRE(device.disk().make_folders("/state", 0700));

    auto const made = load_or_make_token(device, "/state/api-token");
    REQUIRE(made.has_value());
    CHECK(made->size() > 60);
    CHECK(load_or_make_token(device, "/state/api-token") == made);
    CHECK(device.disk().status("/state/api-token")->mode == 0600);
    device.put_file("/state/loose", to_bytes("plx-00000000000000000000\n"), 0644);
    CHECK(load_or_make_token(device, "/state/loose").error().kind == ErrorKind::not_allowed);
    device.put_file("/state/empty", to_bytes("\n"), 0600);
    CHECK(load_or_make_token(device, "/state/empty").error().kind == ErrorKind::malformed);
}

TEST_CASE("api: pulling a model streams lines, the last of which is its result")
{
    auto fixture = ApiFixture();
    auto const good = fixture.ask(request("POST", "/api/v1/pulls", R"({"source":"small","name":"mine"})"));
    auto const bad = fixture.ask(request("POST", "/api/v1/pulls", R"({"source":"nowhere"})"));

    CHECK(good.header("content-type") == "application/jsonl");
    CHECK(good.body.contains(R"({"type":"done","model":{"id":"mine")"));
    CHECK(bad.body.contains(R"("type":"error","code":"not_found","status":404)"));
}

TEST_CASE("api: a digest is 64 hexadecimal digits or refused before anything is asked for")
{
    auto fixture = ApiFixture();
    auto const pull = [&](std::string const& digest) {
        auto const body = fmt::format(R"({{"source":"small","sha256":"{}"}})", digest);
        return fixture.ask(request("POST", "/api/v1/pulls", body)).status;
    };

    CHECK(pull("../../../../etc/passwd") == 400);
    CHECK(pull(std::string(63, 'a')) == 400);
    CHECK(pull(std::string(63, 'a') + "/") == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/pulls", R"({"source":""})")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/pulls", R"({"source":7})")).status == 400);
    CHECK(fixture.services.changes == 0);
    CHECK(pull(std::string(64, 'a')) == 200);
}

TEST_CASE("api: a device is paused and goes on")
{
    auto fixture = ApiFixture{};
    CHECK(fixture.ask(request("POST", "/api/v1/pause", R"({"paused":true})")).status == 200);
    CHECK(fixture.services.is_paused);
    CHECK(fixture.ask(request("POST", "/api/v1/pause", "{}")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/pause", R"({"paused":"yes"})")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/pause", R"({"paused":false})")).status == 200);
    CHECK_FALSE(fixture.services.is_paused);
}

TEST_CASE("api: a model is shown, verified and planned; the list and other programs' folders are listed")
{
    auto fixture = ApiFixture();
    fixture.services.models.push_back({.id = "org/tiny", .digest = "beef", .size_bytes = 10});

    CHECK(fixture.ask(request("GET", "/api/v1/models/org/tiny")).body.contains(R"("license":"MIT")"));
    CHECK(fixture.ask(request("GET", "/api/v1/models/other")).status == 404);
    CHECK(fixture.ask(request("POST", "/api/v1/verifications", R"({"model":"org/tiny"})")).body.contains(R"("done")"));
    CHECK(fixture.ask(request("POST", "/api/v1/verifications", R"({"model":"x"})")).body.contains(R"("malformed")"));
    CHECK(fixture.ask(request("GET", "/api/v1/suggestions")).body.contains(R"("fits":true)"));
    auto const plan = fixture.ask(request("POST", "/api/v1/plans", R"({"model":"tiny","context":512,"slots":2})"));
    CHECK(plan.body.contains(R"("context":512,"slots":2)"));
    CHECK(fixture.ask(request("POST", "/api/v1/plans", R"({"model":"tiny","context":-1})")).status == 400);
    auto const route = fixture.ask(request("POST", "/api/v1/routes", R"({"model":"tiny","output_tokens":150})"));
    CHECK(body_of(route).at_pointer("/routes/0/seconds/whole") == 1.5);
    CHECK(body_of(route).at_pointer("/routes/1/seconds").is_null());
    CHECK(fixture.ask(request("POST", "/api/v1/routes", R"({"model":"other"})")).status == 404);
    CHECK(fixture.ask(request("POST", "/api/v1/routes", R"({"model":"tiny","prompt_tokens":"many"})")).status == 400);
    auto const body = std::string(R"({"from":"ollama","folder":"/o"})");
    CHECK(fixture.ask(request("POST", "/api/v1/foreign-models", body)).status == 403);
    auto const foreign = local("POST", "/api/v1/foreign-models", body);
    CHECK(fixture.ask(foreign, Door::local_socket).body.contains("/o/a.gguf"));
}

TEST_CASE("api: copying a model streams lines, the last of which is its result")
{
    auto fixture = ApiFixture();

    auto const good = fixture.ask(request("POST", "/api/v1/copies", R"({"model":"tiny"})"));
    auto const bad = fixture.ask(request("POST", "/api/v1/copies", R"({"model":"tiny","from":"toaster"})"));

    CHECK(good.header("content-type") == "application/jsonl");
    CHECK(good.body.contains(R"({"type":"done","model":{"id":"tiny")"));
    CHECK(bad.body.contains(R"("type":"error","code":"not_found","status":404)"));
    CHECK(fixture.ask(request("POST", "/api/v1/copies", "{}")).status == 400);
    CHECK(fixture.ask(request("POST", "/api/v1/copies", R"({"model":7})")).status == 400);
}
