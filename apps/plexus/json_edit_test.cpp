#include "json_edit.h"

#include <doctest/doctest.h>

using namespace plexus;
using namespace plexus::cli;

namespace json = boost::json;

namespace {

constexpr auto settings = std::string_view(R"(// My settings
{
  "theme": "dark", // at night
  "language_models": {
    "ollama": { "api_url": "http://localhost" },
  },
  /* the end */
}
)");

}  // namespace

TEST_CASE("json edit: a member is added where its object is, and all else stays")
{
    auto const edited = with_member(settings, {"language_models", "plexus"}, json::object{{"a", 1}}).value();

    CHECK(edited == R"(// My settings
{
  "theme": "dark", // at night
  "language_models": {
    "ollama": { "api_url": "http://localhost" },
    "plexus": {
      "a": 1
    }
  },
  /* the end */
}
)");
    CHECK(without_member(edited, {"language_models", "plexus"}).value() == R"(// My settings
{
  "theme": "dark", // at night
  "language_models": {
    "ollama": { "api_url": "http://localhost" }
  },
  /* the end */
}
)");
}

TEST_CASE("json edit: objects on the way are made, and a member that is there is replaced")
{
    auto const made = with_member("", {"a", "b"}, true).value();
    CHECK(made == "{\n  \"a\": {\n    \"b\": true\n  }\n}\n");
    CHECK(with_member(made, {"a", "b"}, json::array{1}).value() ==
          "{\n  \"a\": {\n    \"b\": [\n      1\n    ]\n  }\n}\n");
    CHECK(with_member(R"({"x":1})", {"a"}, 2).value() == "{\"x\":1,\n  \"a\": 2}");
    CHECK(without_member(made, {"a"}).value() == "{}\n");
    CHECK(without_member(R"({"x":1,"a":2})", {"a"}).value() == R"({"x":1})");
    CHECK(without_member(R"({"a":2,"x":1})", {"a"}).value() == R"({"x":1})");
    CHECK(without_member(settings, {"nothing", "here"}).value() == settings);
}

TEST_CASE("json edit: an element is known by its name")
{
    auto const one = with_element("", {{"name", "Mine"}, {"n", 1}}).value();
    CHECK(one == "[\n  {\n    \"name\": \"Mine\",\n    \"n\": 1\n  }\n]\n");
    auto const two = with_element(R"([ {"name":"Other"} ])", {{"name", "Mine"}}).value();
    CHECK(two == "[ {\"name\":\"Other\"},\n  {\n    \"name\": \"Mine\"\n  } ]");
    CHECK(with_element(two, {{"name", "Mine"}, {"n", 2}}).value().contains("\"n\": 2"));
    CHECK(without_element(two, "Mine").value() == R"([ {"name":"Other"} ])");
    CHECK(without_element(one, "Mine").value() == "[]\n");
}

TEST_CASE("json edit: what is no JSON, or not of the right shape, is left alone with a reason")
{
    for (auto const* text :
         {"{", "{]", "[1 2]", "{\"a\" 1}", "{\"a\":}", "nonsense", "{} {}", "/* open", "{\"a\":1 \"b\":2}"}) {
        CHECK(with_member(text, {"a"}, 1).error().kind == ErrorKind::malformed);
        CHECK(without_element(text, "a").error().kind == ErrorKind::malformed);
    }
    CHECK(with_member(std::string(100, '[') + std::string(100, ']'), {"a"}, 1).error().kind == ErrorKind::malformed);
    CHECK(with_member("[]", {"a"}, 1).error().kind == ErrorKind::conflict);
    CHECK(with_member(R"({"a":1})", {"a", "b"}, 1).error().kind == ErrorKind::conflict);
    CHECK(with_element("{}", {{"name", "x"}}).error().kind == ErrorKind::conflict);
}
