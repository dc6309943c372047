#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/openai_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

constexpr auto path = std::string_view("/v1/completions");

std::string completion(std::string_view fields)
{
    return request("POST", path, fmt::format(R"({{"model":"tiny",{}}})", fields));
}

Step text(std::string_view words)
{
    return chunk(fmt::format(
        R"({{"id":"x","object":"text_completion","choices":[{{"text":"{}","index":0,"logprobs":null,"finish_reason":null}}]}})",
        words));
}

Step last(std::string_view reason)
{
    return chunk(fmt::format(
        R"({{"choices":[{{"text":"","index":0,"logprobs":null,"finish_reason":"{}"}}],"usage":{{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}})",
        reason));
}

}  // namespace

TEST_CASE("completions: a plain answer is one text_completion with usage")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {text("Once "), text("upon"), last("length"), finished()};

    auto const body = body_of(fixture.ask(completion(R"("prompt":"Tell","echo":true)")));

    CHECK(body.at("object") == "text_completion");
    CHECK(body.at("model") == "tiny");
    CHECK(body.at_pointer("/choices/0/text") == "TellOnce upon");
    CHECK(body.at_pointer("/choices/0/finish_reason") == "length");
    CHECK(body.at_pointer("/choices/0/logprobs").is_null());
    CHECK(body.at_pointer("/usage/total_tokens") == 5);
    auto const task = fixture.answers.tasks.at(0);
    CHECK(task.kind == TaskKind::completion);
    CHECK(json::parse(task.body).at("prompt") == "Tell");
    CHECK(json::parse(task.body).at("max_tokens") == 16);
    CHECK(!json::parse(task.body).as_object().contains("echo"));
}

TEST_CASE("completions: several prompts, several choices each, in order; the prompt of choices counts once")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {text("a"), last("stop"), finished()};
    fixture.answers.further_steps = {{text("b"), last("stop"), finished()},
                                     {text("c"), last("stop"), finished()},
                                     {text("d"), last("stop"), finished()}};

    auto const body = body_of(fixture.ask(completion(R"("prompt":["x",[1,2]],"n":2,"seed":5)")));

    REQUIRE(body.at("choices").as_array().size() == 4);
    CHECK(body.at_pointer("/choices/3/index") == 3);
    CHECK(body.at_pointer("/choices/3/text") == "d");
    CHECK(body.at_pointer("/usage/prompt_tokens") == 6);
    CHECK(body.at_pointer("/usage/completion_tokens") == 8);
    CHECK(json::parse(fixture.answers.tasks.at(1).body).at("seed") == 6);
    CHECK(json::parse(fixture.answers.tasks.at(2).body).at("prompt") == json::array{1, 2});
}

TEST_CASE("completions: a stream has one object a piece, usage if asked for, and [DONE]")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {text("Once"), last("stop"), finished()};

    auto const events = events_of(
        fixture.ask(completion(R"("prompt":"x","stream":true,"stream_options":{"include_usage":true})")));

    REQUIRE(events.size() == 4);
    CHECK(json::parse(events[0]).at_pointer("/choices/0/text") == "Once");
    CHECK(json::parse(events[1]).at_pointer("/choices/0/finish_reason") == "stop");
    CHECK(json::parse(events[0]).at("id") == json::parse(events[1]).at("id"));
    CHECK(json::parse(events[2]).at("choices").as_array().empty());
    CHECK(json::parse(events[2]).at_pointer("/usage/completion_tokens") == 2);
    CHECK(events[3] == "[DONE]");
}

TEST_CASE("completions: a suffix fills the middle")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        chunk(R"({"index":0,"content":"return 1","stop":false})"),
        chunk(R"({"index":0,"content":"","stop":true,"stop_type":"limit","tokens_predicted":2,"tokens_evaluated":9})"),
        finished()};

    auto const body = body_of(fixture.ask(completion(R"("prompt":"int f() {","suffix":"}","max_tokens":8)")));

    CHECK(body.at_pointer("/choices/0/text") == "return 1");
    CHECK(body.at_pointer("/choices/0/finish_reason") == "length");
    CHECK(body.at_pointer("/usage/total_tokens") == 11);
    auto const task = fixture.answers.tasks.at(0);
    CHECK(task.kind == TaskKind::infill);
    CHECK(json::parse(task.body).at("input_prefix") == "int f() {");
    CHECK(json::parse(task.body).at("input_suffix") == "}");
    CHECK(json::parse(task.body).at("n_predict") == 8);
}

TEST_CASE("completions: a model that cannot fill a middle is a 400 with the engine's sentence")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {failure(ErrorKind::malformed, "Infill is not supported by this model")};

    auto const reply = fixture.ask(completion(R"("prompt":"a","suffix":"b")"));

    CHECK(reply.status == 400);
    CHECK(body_of(reply).at_pointer("/error/message") == "Infill is not supported by this model");
}

TEST_CASE("completions: chances of tokens come as lists side by side")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        chunk(
            R"({"choices":[{"text":"ab","index":0,"finish_reason":null,"logprobs":{"content":[)"
            R"({"token":"a","logprob":-0.5,"top_logprobs":[{"token":"a","logprob":-0.5},{"token":"z","logprob":-2}]},)"
            R"({"token":"b","logprob":-1,"top_logprobs":[]}]}}]})"),
        last("stop"), finished()};

    auto const body = body_of(fixture.ask(completion(R"("prompt":"x","logprobs":2)")));

    auto const& chances = body.at_pointer("/choices/0/logprobs");
    CHECK(chances.at("tokens") == json::array{"a", "b"});
    CHECK(chances.at("token_logprobs").as_array().at(0) == -0.5);
    CHECK(chances.at_pointer("/top_logprobs/0/z") == -2);
    CHECK(chances.at("text_offset") == json::array{0, 1});
}

TEST_CASE("completions: a wrong body is refused with the field at fault")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view fields, std::string_view param) {
        check_refused(fixture, path, fmt::format(R"({{"model":"tiny",{}}})", fields), param);
    };

    check_refused(fixture, path, R"({"prompt":"x"})", "model");
    refused(R"("n":1)", "prompt");
    refused(R"("prompt":[])", "prompt");
    refused(R"("prompt":[[]])", "prompt");
    refused(R"("prompt":[1,"x"])", "prompt");
    refused(R"("prompt":[-1])", "prompt");
    refused(R"("prompt":[1.5])", "prompt");
    refused(R"("prompt":"x","n":129)", "n");
    refused(R"("prompt":["x","y"],"n":100)", "n");
    refused(R"("prompt":"x","best_of":2)", "best_of");
    refused(R"("prompt":[1],"suffix":"y")", "suffix");
    refused(R"("prompt":[1],"echo":true)", "echo");
    refused(R"("prompt":"x","echo":"yes")", "echo");
    refused(R"("prompt":"x","logprobs":true)", "logprobs");
    refused(R"("prompt":"x","max_tokens":-5)", "max_tokens");
    refused(R"("prompt":"x","stream_options":1)", "stream_options");
    refused(R"("prompt":"x","logit_bias":{"x":1})", "logit_bias");
    refused(R"("prompt":"x","stop":[1])", "stop");
    CHECK(fixture.answers.tasks.empty());
}

TEST_CASE("completions: one long prompt is not multiplied beyond the limit")
{
    auto fixture = ApiFixture();
    auto const long_prompt = std::string(1 << 20, 'x');

    check_refused(fixture, path, fmt::format(R"({{"model":"tiny","prompt":"{}","n":100}})", long_prompt), "n");
}
