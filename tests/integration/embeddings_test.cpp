#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <numeric>

#include <boost/json.hpp>

#include "integration/engine_testing.h"
#include "stream/engine_protocol.h"

using namespace plexus;
using namespace plexus::inference;
using namespace std::chrono_literals;

namespace json = boost::json;

namespace {

constexpr std::size_t dimensions = 384;

using Vector = std::vector<double>;

std::vector<std::string> sentences()
{
    auto file = std::ifstream(PLEXUS_EMBEDDINGS "/sentences.txt");
    auto lines = std::vector<std::string>{};
    for (auto line = std::string{}; std::getline(file, line);) {
        lines.push_back(line);
    }
    return lines;
}

/// What ONNX Runtime gave for the published ONNX file and tokenizer of the same model: means of all tokens, of length 1.
std::vector<Vector> reference()
{
    auto file = std::ifstream(PLEXUS_EMBEDDINGS "/reference.f16", std::ios::binary);
    auto vectors = std::vector<Vector>{};
    for (auto vector = std::array<_Float16, dimensions>{};
         file.read(reinterpret_cast<char*>(vector.data()), sizeof vector);) {
        vectors.emplace_back(vector.begin(), vector.end());
    }
    return vectors;
}

double product(Vector const& left, Vector const& right)
{
    return std::inner_product(left.begin(), left.end(), right.begin(), 0.0);
}

double cosine(Vector const& left, Vector const& right)
{
    return product(left, right) / std::sqrt(product(left, left) * product(right, right));
}

std::vector<Vector> vectors_of(std::string const& document)
{
    auto const answer = json::parse(document);
    auto vectors = std::vector<Vector>{};
    for (auto const& item : answer.at("data").as_array()) {
        vectors.push_back(json::value_to<Vector>(item.at("embedding")));
    }
    return vectors;
}

EngineDevice embedding_device()
{
    return EngineDevice({.model = PLEXUS_EMBEDDING_MODEL, .traits = {.gives_vectors = true, .max_context = 512}});
}

std::string many_words(std::size_t count)
{
    auto text = std::string{};
    for (std::size_t word = 0; word < count; ++word) {
        text += "word ";
    }
    return text;
}

}  // namespace

TEST_CASE("embeddings: a hundred sentences point where the reference points, and alone where they do together")
{
    auto device = embedding_device();
    auto const texts = sentences();
    auto const expected = reference();
    REQUIRE(texts.size() == 100);
    REQUIRE(expected.size() == 100);
    auto task = [&]() -> Task<> {
        auto const body = json::serialize(json::object{{"input", json::value_from(texts)}});
        auto const document = co_await device.ask(TaskKind::embeddings, body);
        REQUIRE(document);
        auto const together = vectors_of(*document);
        REQUIRE(together.size() == texts.size());
        auto worst = 1.0;
        for (std::size_t index = 0; index < texts.size(); ++index) {
            CAPTURE(texts[index]);
            CHECK(cosine(together[index], expected[index]) >= 0.999);
            CHECK(product(together[index], together[index]) == doctest::Approx(1.0));
            worst = std::min(worst, cosine(together[index], expected[index]));
        }
        MESSAGE("smallest cosine: " << worst);
        for (std::size_t index = 0; index < texts.size(); index += 11) {
            auto const one = json::serialize(json::object{{"input", texts[index]}});
            auto const alone = vectors_of((co_await device.ask(TaskKind::embeddings, one)).value()).at(0);
            CHECK(cosine(alone, together[index]) > 0.9999);
        }
    };
    device.run(task());
}

TEST_CASE("embeddings: a document larger than a frame comes whole, as numbers and as base64")
{
    auto device = embedding_device();
    auto task = [&]() -> Task<> {
        auto inputs = json::array{};
        for (auto number = 0; number < 300; ++number) {
            inputs.emplace_back(fmt::format("sentence number {}", number));
        }
        auto const numbers = co_await device.ask(TaskKind::embeddings,
                                                 json::serialize(json::object{{"input", inputs}}));
        REQUIRE(numbers);
        CHECK(numbers->size() > stream::max_from_engine);
        CHECK(vectors_of(*numbers).size() == inputs.size());
        auto const body = json::object{{"input", inputs}, {"encoding_format", "base64"}};
        auto const encoded = co_await device.ask(TaskKind::embeddings, json::serialize(body));
        REQUIRE(encoded);
        CHECK(json::parse(*encoded).at("data").as_array().size() == inputs.size());
    };
    device.run(task());
}

TEST_CASE("embeddings: an input longer than the model is refused with both numbers, and not cut")
{
    auto device = embedding_device();
    auto task = [&]() -> Task<> {
        auto const fitting = json::serialize(json::object{{"input", many_words(510)}});
        CHECK(co_await device.ask(TaskKind::embeddings, fitting));
        CHECK((co_await device.ask(TaskKind::tokenize, fitting)).value() == R"({"tokens":512,"context":512})");
        auto const inputs = json::array{"short", many_words(511)};
        auto const body = json::serialize(json::object{{"input", inputs}});
        auto const refused = co_await device.ask(TaskKind::embeddings, body);
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == Error{ErrorKind::too_large, "the prompt has 513 tokens, the context holds 512"});
        CHECK((co_await device.ask(TaskKind::tokenize, body)).value() == R"({"tokens":513,"context":512})");
    };
    device.run(task());
}

TEST_CASE("embeddings: what such a model cannot do, or what is no input, is refused in words")
{
    struct Case {
        TaskKind kind;
        std::string_view body;
        std::string_view reason;
    };
    constexpr auto cases = std::array{
        Case{TaskKind::rerank, R"({"query":"a","documents":["b"]})", "does not support reranking"},
        Case{TaskKind::chat, R"({"messages":[{"role":"user","content":"hi"}]})", "does not support logits"},
        Case{TaskKind::embeddings, R"({"input":[]})", "must not be empty"},
        Case{TaskKind::embeddings, R"({})", "must be provided"},
        Case{TaskKind::embeddings, R"({"input":{"a":1}})", ""},
        Case{TaskKind::embeddings, R"({"input":[[-1,99999999]]})", ""},
        Case{TaskKind::embeddings, R"({"input":"a","encoding_format":"hex"})", "float or base64"},
    };
    auto device = embedding_device();
    auto task = [&]() -> Task<> {
        for (auto const& each : cases) {
            CAPTURE(each.body);
            auto const answer = co_await device.ask(each.kind, std::string(each.body));
            REQUIRE_FALSE(answer);
            CAPTURE(answer.error().text);
            CHECK(answer.error().text.contains(each.reason));
        }
        CHECK(co_await device.ask(TaskKind::embeddings, R"({"input":"still here"})"));
    };
    device.run(task());
}
