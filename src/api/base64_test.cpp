#include <doctest/doctest.h>

#include "api/base64.h"

using namespace plexus;
using namespace plexus::api;

TEST_CASE("base64: the vectors of RFC 4648 section 10, both ways")
{
    auto const vectors = std::array<std::pair<std::string_view, std::string_view>, 7>{{{"", ""},
                                                                                       {"f", "Zg=="},
                                                                                       {"fo", "Zm8="},
                                                                                       {"foo", "Zm9v"},
                                                                                       {"foob", "Zm9vYg=="},
                                                                                       {"fooba", "Zm9vYmE="},
                                                                                       {"foobar", "Zm9vYmFy"}}};
    for (auto const& [plain, coded] : vectors) {
        CHECK(to_base64(as_view(plain)) == coded);
        CHECK(from_base64(coded) == plain);
    }
}

TEST_CASE("base64: what is not of its form is refused")
{
    for (auto const text : {"Z", "Zg=", "Zg===", "=Zg=", "Zm9v\n", "Zm 9", "Zm9-", "===="}) {
        CHECK_MESSAGE(!from_base64(text), text);
    }
}
