#include <doctest/doctest.h>

#include "base/nearest.h"

using namespace plexus;

TEST_CASE("nearest: a typing error finds its word, nonsense finds nothing")
{
    auto const words = std::vector<std::string>{"status", "serve", "invite", "device"};

    CHECK(nearest("stauts", words) == "status");
    CHECK(nearest("invit", words) == "invite");
    CHECK(nearest("devices", words) == "device");
    CHECK(nearest("xyzzy", words).empty());
    CHECK(nearest("", words).empty());
    CHECK(nearest(std::string(1000, 's'), words).empty());
}
