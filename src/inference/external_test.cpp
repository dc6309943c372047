#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "base/sim_http.h"
#include "inference/external.h"

using namespace plexus;
using namespace plexus::inference;
using namespace std::chrono_literals;

namespace {

constexpr auto place = "http://127.0.0.1:8000";

sim::SimPage page(std::string_view body, int status = 200)
{
    return {.body = to_bytes(body), .status = status};
}

/// A server that knows one model, and what it answers to a chat.
struct Server {
    explicit Server(sim::SimPage answer)
    {
        env.web().put(std::string(place) + "/v1/models", page(R"({"data":[{"id":"org/model","max_model_len":8192}]})"));
        env.web().put(std::string(place) + "/v1/chat/completions", std::move(answer));
    }

    sim::World world{1};
    sim::SimEnv& env = world.add_device("alpha");
    int changes = 0;
    ExternalEngines engines{env, "device", [this] { ++changes; }};
    ModelDigest model = external_digest("device", place, "org/model");

    /// The parts of an answer, then "end" or the kind of its error.
    std::vector<std::string> ask(TaskKind kind = TaskKind::chat, std::string body = R"({"model":"x","stream":true})")
    {
        auto parts = std::vector<std::string>{};
        world.run([](Server& self, TaskKind wanted, std::string text, std::vector<std::string>& given) -> Task<> {
            auto const added = self.engines.add({.url = place});
            co_await sleep_for(self.env, 1s);
            auto answer = co_await self.engines.start(self.model, wanted, std::move(text), {});
            auto failure = answer ? std::optional<Error>{} : std::optional(answer.error());
            while (!failure) {
                auto part = co_await (*answer)->next();
                if (part && !*part) {
                    break;
                }
                if (part) {
                    given.push_back(std::move((*part)->text));
                } else {
                    failure = part.error();
                }
            }
            given.emplace_back(failure ? to_string(failure->kind) : "end");
            if (answer) {
                self.timings = (*answer)->timings();
                answer->reset();
            }
            co_await self.engines.stop();
        }(*this, kind, std::move(body), parts));
        return parts;
    }

    Timings timings;
};

constexpr auto two_words =
    "data: {\"a\":1}\n\n: still here\n\ndata: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\r\n\r\n"
    "data: [DONE]\n\n";

}  // namespace

TEST_CASE("external engine: addresses come in one spelling, and only http and https have one")
{
    CHECK(external_url("http://LOCALHOST:8000/v1/").value() == "http://localhost:8000");
    CHECK(external_url("http://localhost:8000").value() == "http://localhost:8000");
    CHECK(external_url("https://gpu.lan/vllm/v1").value() == "https://gpu.lan/vllm");
    CHECK_FALSE(external_url("ftp://localhost"));
    CHECK_FALSE(external_url("http://localhost/?a=b"));
    CHECK_FALSE(external_url("http://user:word@localhost"));
}

TEST_CASE("external engine: a digest stands for one name at one address of one device")
{
    auto const digest = external_digest("a", "b", "c");

    CHECK(digest == external_digest("a", "b", "c"));
    CHECK(digest != external_digest("ab", "", "c"));
    CHECK(digest != external_digest("a", "b", "d"));
    CHECK(digest != crypto::sha256(as_view(std::string_view("abc"))));
}

TEST_CASE("external engine: model lists of several servers are understood, strange names left out")
{
    auto const models = parse_model_list(
                            R"({"data":[{"id":"a","max_model_len":8192},{"id":"b","meta":{"n_ctx_train":2048}},
        {"id":"nomic-embed-text"},{"id":"bad\nname"},{"id":7},{},{"id":"c","max_model_len":-1}]})",
                            "d", place)
                            .value();

    REQUIRE(models.size() == 4);
    CHECK(models[0].context == 8192);
    CHECK(models[1].context == 2048);
    CHECK(models[2].gives_vectors);
    CHECK_FALSE(models[0].gives_vectors);
    CHECK(models[3].context == 0);
    CHECK(parse_model_list(R"({"data":[{"id":"a","owned_by":"plexus"}]})", "d", place).error().kind ==
          ErrorKind::conflict);
    CHECK(parse_model_list("<html>", "d", place).error().kind == ErrorKind::malformed);
    CHECK(parse_model_list(R"({"data":{}})", "d", place).error().kind == ErrorKind::malformed);
}

TEST_CASE("external engine: errors keep their meaning")
{
    CHECK(external_error(400, R"({"error":{"message":"no"}})").kind == ErrorKind::malformed);
    CHECK(external_error(400, R"({"message":"This model's maximum context length is 5"})").kind ==
          ErrorKind::too_large);
    CHECK(external_error(400, R"({"error":{"type":"exceed_context_size_error"}})").kind == ErrorKind::too_large);
    CHECK(external_error(401, "").kind == ErrorKind::unavailable);
    CHECK(external_error(404, "").kind == ErrorKind::not_found);
    CHECK(external_error(429, "").kind == ErrorKind::unavailable);
    CHECK(external_error(500, "").kind == ErrorKind::closed);
    CHECK(external_error(302, "").kind == ErrorKind::unavailable);
    CHECK(external_error(400, R"({"error":{"message":"no\u001b[2J"}})").text == "no[2J");
}

TEST_CASE("external engine: an answer is streamed under the name that the engine knows, and its speed measured")
{
    auto server = Server({.body = to_bytes(two_words), .piece_bytes = 9});

    auto const parts = server.ask();

    CHECK(parts ==
          std::vector<std::string>{R"({"a":1})", R"({"usage":{"prompt_tokens":7,"completion_tokens":2}})", "end"});
    CHECK(server.timings.prompt_tokens == 7);
    CHECK(server.timings.prefill_per_second > 0);
    CHECK(server.timings.decode_per_second > 0);
    auto const& request = server.env.web().requests().back();
    CHECK(request.method == "POST");
    CHECK(request.body == R"({"model":"org/model","stream":true})");
    CHECK_FALSE(request.public_only);
    CHECK(server.engines.list().front().busy == 0);
    CHECK(server.changes == 1);  // when it was found
}

TEST_CASE("external engine: a tool that must be called is named where the server takes it only by its name")
{
    constexpr auto tool = R"({"type":"function","function":{"name":"f"}})";
    auto const asked = [&](std::string_view owner, std::string const& tools) {
        auto server = Server(page(two_words));
        auto const list = fmt::format(R"({{"data":[{{"id":"org/model","owned_by":"{}"}}]}})", owner);
        server.env.web().put(std::string(place) + "/v1/models", page(list));
        server.ask(TaskKind::chat, fmt::format(R"({{"tools":[{}],"tool_choice":"required"}})", tools));
        return server.env.web().requests().back().body;
    };
    auto const two = fmt::format("{0},{0}", tool);

    CHECK(asked("me", tool).contains(R"("tool_choice":{"type":"function","function":{"name":"f"}})"));
    CHECK(asked("me", two).contains(R"("tool_choice":"required")"));
    CHECK(asked("me", "7").contains(R"("tool_choice":"required")"));
    CHECK(asked("llamacpp", tool).contains(R"("tool_choice":"required")"));
}

TEST_CASE("external engine: an answer that breaks off, or ends without its last word, is lost")
{
    auto const bytes = to_bytes(two_words);

    CHECK(Server({.body = bytes, .cut_after = 20}).ask() == std::vector<std::string>{R"({"a":1})", "closed"});
    CHECK(Server(page("data: {\"a\":1}\n\n")).ask() == std::vector<std::string>{R"({"a":1})", "closed"});
    CHECK(Server(page("", 503)).ask() == std::vector<std::string>{"unavailable"});
    CHECK(Server(page("data: {\"error\":{\"code\":400,\"message\":\"no\"}}\n\n")).ask() ==
          std::vector<std::string>{"malformed"});
    CHECK(Server(page(std::string(2 << 20, 'x'))).ask() == std::vector<std::string>{"closed"});
}

TEST_CASE("external engine: what it cannot do is refused without asking it")
{
    auto server = Server(page(two_words));

    CHECK(server.ask(TaskKind::tokenize) == std::vector<std::string>{"unavailable"});
    CHECK(server.env.web().requests().size() == 1);
}

TEST_CASE("external engine: while it is at work it is asked for nothing else")
{
    auto server = Server({.body = to_bytes(two_words), .piece_bytes = 9, .delay = 10s});

    CHECK(server.ask().back() == "end");

    auto const asked = [](HttpRequest const& request) { return request.url.ends_with("/v1/models"); };
    CHECK(std::ranges::count_if(server.env.web().requests(), asked) == 1);
}

TEST_CASE("external engine: it is away after two failures, and there again when it answers")
{
    auto server = Server(page(two_words));
    auto states = std::vector<bool>{};

    server.world.run([](Server& self, std::vector<bool>& seen) -> Task<> {
        auto const added = self.engines.add({.url = place});
        auto const look = [&] { seen.push_back(self.engines.list().front().is_there); };
        co_await sleep_for(self.env, 1s);
        look();
        auto& models = self.env.web().page(std::string(place) + "/v1/models");
        models.status = 500;
        co_await sleep_for(self.env, 15s);
        look();
        co_await sleep_for(self.env, 15s);
        look();
        models.status = 200;
        co_await sleep_for(self.env, 15s);
        look();
        CHECK(self.engines.remove(place));
        CHECK_FALSE(self.engines.holds(self.model));
        co_await self.engines.stop();
    }(server, states));

    CHECK(states == std::vector<bool>{true, true, false, true});
    CHECK(server.changes == 4);
}

TEST_CASE("external engine: its token comes from a file that is read again, and is no part of a list")
{
    auto server = Server(page(two_words));
    server.env.put_file("/token", to_bytes("secret\n"));
    server.env.put_file("/bad", to_bytes("two words"));

    server.world.run([](Server& self) -> Task<> {
        auto const tested = co_await self.engines.test({.url = place, .token_file = "/token"});
        CHECK(tested.has_value());
        auto const bad = co_await self.engines.test({.url = place, .token_file = "/bad"});
        CHECK(bad.error().kind == ErrorKind::malformed);
        auto const missing = co_await self.engines.test({.url = place, .token_file = "/none"});
        CHECK(missing.error().kind == ErrorKind::not_found);
        co_await self.engines.stop();
    }(server));

    CHECK(server.env.web().requests().size() == 1);
    CHECK(server.env.web().requests().front().fields == std::vector<HttpField>{{"authorization", "Bearer secret"}});
}
