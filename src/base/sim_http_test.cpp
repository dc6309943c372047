#include <doctest/doctest.h>

#include "base/sim_http.h"
#include "base/sim_env.h"

using namespace plexus;
using namespace plexus::sim;

namespace {

constexpr auto address = "https://models.example/tiny.gguf";

/// Status and body of an answer, or the name of an error in the place of either.
std::string outcome(World& world, Env& env, HttpRequest request)
{
    auto text = std::string{};
    auto ask = [&]() -> Task<> {
        auto const transfer = env.http().start(std::move(request));
        auto const head = co_await transfer->head();
        auto const body = co_await read_body(*transfer, 100);
        text = fmt::format("{} {}", head ? std::to_string(head->status) : to_string(head.error().kind),
                           body ? *body : to_string(body.error().kind));
    };
    CHECK(world.run(ask()));
    return text;
}

HttpRequest ranged(std::string tag)
{
    return {.url = address, .fields = {{"range", "bytes=3-"}, {"if-range", std::move(tag)}}};
}

}  // namespace

TEST_CASE("sim http: pages are given whole, in ranges, and cut")
{
    auto world = World(1);
    auto& device = world.add_device("alpha");
    device.web().put(address, {.body = to_bytes("0123456789"), .fields = {{"etag", "\"one\""}}, .piece_bytes = 4});

    CHECK(outcome(world, device, {.url = address}) == "200 0123456789");
    CHECK(outcome(world, device, ranged("\"one\"")) == "206 3456789");
    CHECK(outcome(world, device, ranged("\"two\"")) == "200 0123456789");
    CHECK(outcome(world, device, {.url = "https://elsewhere.example/"}) == "unavailable unavailable");
    CHECK(outcome(world, device, {.url = "https://10.0.0.1/"}) == "not_allowed not_allowed");
    CHECK(device.web().requests().size() == 5);

    device.web().page(address).cut_after = 6;
    CHECK(outcome(world, device, {.url = address}) == "200 closed");
    device.web().page(address).shifts_ranges = true;
    device.web().page(address).cut_after = std::nullopt;
    CHECK(outcome(world, device, ranged("\"one\"")) == "206 23456789");
}
