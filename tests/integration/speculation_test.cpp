#include <doctest/doctest.h>

#include <boost/json.hpp>

#include "integration/engine_testing.h"

using namespace plexus;

namespace json = boost::json;

namespace {

struct Said {
    std::string text;
    std::int64_t guessed = 0;
    std::int64_t accepted = 0;
};

/// A text that goes on as it went before, at temperature 0.
Said said_by(bool speculates)
{
    auto device = EngineDevice({.speculates = speculates});
    auto said = Said{};
    auto task = [&]() -> Task<> {
        auto const body = json::object{
            {"prompt",
             "one two three four five six\none two three four five six\none two three four five six\none two"},
            {"temperature", 0},
            {"max_tokens", 40},
            {"stream_options", {{"include_usage", true}}}};
        auto const parts =
            (co_await device.ask_in_parts(inference::TaskKind::completion, json::serialize(body))).value();
        for (auto const& part : parts) {
            auto const chunk = json::parse(part).as_object();
            for (auto const& choice : chunk.at("choices").as_array()) {
                said.text += std::string(choice.at("text").as_string());
            }
            if (auto const* timings = chunk.if_contains("timings");
                timings != nullptr && timings->as_object().contains("draft_n")) {
                said.guessed = timings->at("draft_n").to_number<std::int64_t>();
                said.accepted = timings->at("draft_n_accepted").to_number<std::int64_t>();
            }
        }
    };
    device.run(task());
    return said;
}

}  // namespace

TEST_CASE("engine: guessed tokens are accepted and change nothing of the text at temperature 0")
{
    auto const plain = said_by(false);
    auto const guessed = said_by(true);
    MESSAGE(guessed.accepted, " of ", guessed.guessed, " guessed tokens were accepted");

    CHECK(plain.text.size() > 20);
    CHECK(guessed.text == plain.text);
    CHECK(plain.guessed == 0);
    CHECK(guessed.accepted > 0);
    CHECK(guessed.guessed >= guessed.accepted);
}
