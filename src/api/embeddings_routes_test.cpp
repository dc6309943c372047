#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "api/base64.h"
#include "api/embeddings_request.h"
#include "api/openai_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

constexpr auto path = std::string_view("/v1/embeddings");

std::string embeddings(std::string_view fields)
{
    return request("POST", path, fmt::format(R"({{"model":"tiny",{}}})", fields));
}

/// A document of the engine, in two parts, its vectors the wrong way round.
std::vector<Step> two_vectors()
{
    return {chunk(R"({"object":"list","data":[{"index":1,"embedding":[0,1,0]},{"index":0,"embe)"),
            chunk(R"(dding":[3,4,0]}],"usage":{"prompt_tokens":7,"total_tokens":7}})"), finished()};
}

std::vector<float> floats_of(std::string_view text)
{
    auto const bytes = from_base64(text).value();
    auto floats = std::vector<float>(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return floats;
}

}  // namespace

TEST_CASE("embeddings: vectors come in the order of the inputs, with usage")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = two_vectors();

    auto const reply = fixture.ask(embeddings(R"("input":["a","b"],"user":"me")"));

    CHECK(reply.status == 200);
    auto const body = body_of(reply);
    CHECK(body.at("object") == "list");
    CHECK(body.at("model") == "tiny");
    CHECK(body.at_pointer("/data/0/object") == "embedding");
    CHECK(body.at_pointer("/data/0/index") == 0);
    CHECK(body.at_pointer("/data/0/embedding/0") == 3.0);
    CHECK(body.at_pointer("/data/1/embedding/1") == 1.0);
    CHECK(body.at_pointer("/usage/prompt_tokens") == 7);
    auto const& task = fixture.answers.tasks.at(0);
    CHECK(task.kind == TaskKind::embeddings);
    CHECK(json::parse(task.body).at("encoding_format") == "float");
}

TEST_CASE("embeddings: base64 is that of little-endian floats, as the official clients ask for it")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = two_vectors();

    auto const body = body_of(fixture.ask(embeddings(R"("input":["a","b"],"encoding_format":"base64")")));

    CHECK(floats_of(body.at_pointer("/data/0/embedding").as_string()) == std::vector<float>{3, 4, 0});
}

TEST_CASE("embeddings: fewer dimensions are the first ones with length 1; more than there are is a 400")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = two_vectors();

    auto const body = body_of(fixture.ask(embeddings(R"("input":["a","b"],"dimensions":2)")));
    auto const refused = fixture.ask(embeddings(R"("input":["a","b"],"dimensions":4)"));

    CHECK(body.at_pointer("/data/0/embedding").as_array().size() == 2);
    CHECK(body.at_pointer("/data/0/embedding/0").as_double() == doctest::Approx(0.6));
    CHECK(body.at_pointer("/data/0/embedding/1").as_double() == doctest::Approx(0.8));
    CHECK(refused.status == 400);
    CHECK(body_of(refused).at_pointer("/error/param") == "dimensions");
}

TEST_CASE("embeddings: many inputs are several tasks in one answer")
{
    auto fixture = ApiFixture();
    auto inputs = json::array(inputs_of_task + 1, "x");
    auto first = json::array{};
    for (std::size_t index = 0; index < inputs_of_task; ++index) {
        first.emplace_back(json::object{{"index", index}, {"embedding", json::array{1.0}}});
    }
    fixture.answers.steps = {chunk(json::serialize(json::object{{"data", first}, {"usage", {{"prompt_tokens", 64}}}})),
                             finished()};
    fixture.answers.further_steps = {
        {chunk(R"({"data":[{"index":0,"embedding":[2.0]}],"usage":{"prompt_tokens":1}})"), finished()}};

    auto const body = body_of(fixture.ask(embeddings("\"input\":" + json::serialize(inputs))));

    CHECK(fixture.answers.tasks.size() == 2);
    CHECK(body.at("data").as_array().size() == inputs_of_task + 1);
    CHECK(body.at_pointer("/data/64/index") == 64);
    CHECK(body.at_pointer("/data/64/embedding/0") == 2.0);
    CHECK(body.at_pointer("/usage/total_tokens") == 65);
}

TEST_CASE("embeddings: what is no list of vectors is a 502")
{
    for (auto const document : {"", "[]", R"({"data":[{"index":5,"embedding":[1]}]})", R"({"data":[{"index":0}]})",
                                R"({"data":[{"index":0,"embedding":[[1]]}]})", R"({"data":[7]})"}) {
        auto fixture = ApiFixture();
        fixture.answers.steps = {chunk(document), finished()};

        CHECK_MESSAGE(fixture.ask(embeddings(R"("input":"a")")).status == 502, document);
    }
}

TEST_CASE("embeddings: a wrong body is refused with the field at fault")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view fields, std::string_view param) {
        check_refused(fixture, path, fmt::format(R"({{"model":"tiny",{}}})", fields), param);
    };

    check_refused(fixture, path, R"({"input":"x"})", "model");
    check_refused(fixture, path, "{\"model\":\"tiny\",\"input\":\"\xc3\x28\"}", "");
    refused(R"("user":"x")", "input");
    refused(R"("input":"")", "input");
    refused(R"("input":[])", "input");
    refused(R"("input":["a",""])", "input");
    refused(R"("input":[[1],[]])", "input");
    refused(R"("input":{"text":"a"})", "input");
    refused(R"("input":[1,-2])", "input");
    refused(R"("input":[4294967296])", "input");
    refused("\"input\":" + json::serialize(json::array(max_embedded_inputs + 1, "x")), "input");
    refused(R"("input":"x","encoding_format":"hex")", "encoding_format");
    refused(R"("input":"x","dimensions":0)", "dimensions");
    refused(R"("input":"x","dimensions":1.5)", "dimensions");
    CHECK(fixture.answers.tasks.empty());
}

TEST_CASE("rerank: documents come back best first, as many as wanted")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {
        chunk(
            R"({"results":[{"index":0,"relevance_score":-1},{"index":1,"relevance_score":5.5},{"index":2,"relevance_score":1}],"usage":{"total_tokens":9}})"),
        finished()};

    auto const body = body_of(fixture.ask(request(
        "POST", "/v1/rerank",
        R"({"model":"tiny","query":"q","documents":["a",{"text":"b"},"c"],"top_n":2,"return_documents":true})")));

    REQUIRE(body.at("results").as_array().size() == 2);
    CHECK(body.at_pointer("/results/0/index") == 1);
    CHECK(body.at_pointer("/results/0/relevance_score") == 5.5);
    CHECK(body.at_pointer("/results/0/document/text") == "b");
    CHECK(body.at_pointer("/results/1/index") == 2);
    CHECK(body.at_pointer("/usage/total_tokens") == 9);
    auto const& task = fixture.answers.tasks.at(0);
    CHECK(task.kind == TaskKind::rerank);
    CHECK(json::parse(task.body).at("documents") == json::array{"a", "b", "c"});
}

TEST_CASE("rerank: a wrong body is refused, a wrong ranking is a 502")
{
    auto fixture = ApiFixture();
    auto const refused = [&](std::string_view fields, std::string_view param) {
        check_refused(fixture, "/v1/rerank", fmt::format(R"({{"model":"tiny",{}}})", fields), param);
    };
    refused(R"("documents":["a"])", "query");
    refused(R"("query":7,"documents":["a"])", "query");
    refused(R"("query":"q")", "documents");
    refused(R"("query":"q","documents":[])", "documents");
    refused(R"("query":"q","documents":[7])", "documents");
    refused(R"("query":"q","documents":["a"],"top_n":0)", "top_n");
    CHECK(fixture.answers.tasks.empty());

    fixture.answers.steps = {chunk(R"({"results":[{"index":9,"relevance_score":1}]})"), finished()};
    auto const body = R"({"model":"tiny","query":"q","documents":["a"]})";
    CHECK(fixture.ask(request("POST", "/v1/rerank", body)).status == 502);
}
