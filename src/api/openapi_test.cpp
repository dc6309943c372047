#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/openai_testing.h"
#include "api/routes.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

struct Operation {
    std::string method;
    std::string path;
};

std::string upper(std::string_view word)
{
    auto made = std::string(word);
    std::ranges::transform(made, made.begin(), [](unsigned char letter) { return std::toupper(letter); });
    return made;
}

/// What the document tells of, but /metrics, which is in no table.
std::vector<Operation> operations_of(json::value const& document)
{
    auto operations = std::vector<Operation>{};
    for (auto const& [path, methods] : document.at("paths").as_object()) {
        for (auto const& [method, operation] : methods.as_object()) {
            if (method != "parameters" && path != "/metrics") {
                operations.push_back({upper(method), std::string(path)});
            }
        }
    }
    return operations;
}

bool describes(Operation const& operation, RouteName const& route)
{
    auto const takes_argument = route.path.size() > 1 && route.path.ends_with('/');
    return operation.method == route.method &&
           (takes_argument ? operation.path.starts_with(std::string(route.path) + "{") : operation.path == route.path);
}

}  // namespace

TEST_CASE("openapi: the document that is served has every route, and no other")
{
    auto fixture = ApiFixture();
    auto const document = body_of(fixture.ask(request("GET", "/api/v1/openapi.json")));
    auto const operations = operations_of(document);
    auto const routes = route_names();

    CHECK(document.at("openapi") == "3.1.0");
    REQUIRE(!operations.empty());
    for (auto const& route : routes) {
        INFO(route.method, " ", route.path);
        CHECK(std::ranges::any_of(operations, [&](Operation const& operation) { return describes(operation, route); }));
    }
    for (auto const& operation : operations) {
        INFO(operation.method, " ", operation.path);
        CHECK(std::ranges::any_of(routes, [&](RouteName const& route) { return describes(operation, route); }));
    }
}

TEST_CASE("paths: one that is not UTF-8 is refused, so that no answer repeats bytes that are no JSON")
{
    auto fixture = ApiFixture();

    for (auto const* path : {"/v1/models/%ff", "/v1/responses/%c3", "/api/v1/models/%ed%a0%80"}) {
        INFO(path);
        auto const reply = fixture.ask(request("GET", path));

        CHECK(reply.status == 400);
        CHECK_NOTHROW(json::parse(reply.body));
    }
    CHECK(fixture.ask(request("GET", "/v1/models/%c3%a4")).status == 404);
}
