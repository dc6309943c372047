#include <doctest/doctest.h>

#include "api/guard.h"

using namespace plexus;
using namespace plexus::api;

namespace {

struct Form {
    std::optional<std::string> text;
    bool good = false;
};

struct Kind {
    std::string method;
    std::string content_type;
    bool good = true;
};

constexpr auto secret = std::string_view("plx-000102030405");

std::vector<Form> host_forms()
{
    return {{"localhost:7597", true},      {"127.0.0.1:7597", true},        {"[::1]:7597", true},
            {"LocalHost:7597", true},      {std::nullopt, false},           {"", false},
            {"localhost", false},          {"localhost:80", false},         {"evil.example:7597", false},
            {"127.0.0.1.nip.io:7597", false}, {"localhost:7597.evil.example", false}, {"0.0.0.0:7597", false}};
}

std::vector<Form> origin_forms()
{
    return {{std::nullopt, true},
            {"http://localhost:7597", true},
            {"http://127.0.0.1:7597", true},
            {"http://[::1]:7597", true},
            {"http://tool.example:3000", true},
            {"", false},
            {"null", false},
            {"https://evil.example", false},
            {"http://localhost", false},
            {"http://localhost:3000", false},
            {"https://localhost:7597", false},
            {"http://localhost:7597.evil.example", false},
            {"http://localhost:7597/", false},
            {"chrome-extension://abcdefgh", false}};
}

std::vector<Kind> kinds()
{
    return {{"GET", "", true},
            {"DELETE", "", true},
            {"PUT", "text/plain", true},
            {"POST", "application/json", true},
            {"POST", "Application/JSON; charset=utf-8", true},
            {"POST", "", false},
            {"POST", "text/plain", false},
            {"POST", "application/x-www-form-urlencoded", false},
            {"POST", "multipart/form-data; boundary=x", false},
            {"POST", "application/jsonp", false}};
}

Request make_request(Form const& host, Form const& origin, Kind const& kind, std::string const& authorization)
{
    auto made = Request{.method = kind.method, .target = "/v1/models", .headers = {}, .body = ""};
    if (host.text) {
        made.headers.push_back({"host", *host.text});
    }
    if (origin.text) {
        made.headers.push_back({"origin", *origin.text});
    }
    if (!kind.content_type.empty()) {
        made.headers.push_back({"content-type", kind.content_type});
    }
    if (!authorization.empty()) {
        made.headers.push_back({"authorization", authorization});
    }
    if (kind.method == "POST") {
        made.headers.push_back({"content-length", "2"});
    }
    return made;
}

GuardRules rules()
{
    return {.port = 7597, .origins = {"http://tool.example:3000"}, .token = std::string(secret)};
}

}  // namespace

TEST_CASE("guard: of all 5040 requests only those with our host, a known origin, the token and JSON pass")
{
    auto const tokens = std::array<std::string, 3>{"", "Bearer plx-999999999999", fmt::format("Bearer {}", secret)};
    std::size_t count = 0;
    std::size_t wrong = 0;

    for (auto const& host : host_forms()) {
        for (auto const& origin : origin_forms()) {
            for (auto const& kind : kinds()) {
                for (std::size_t index = 0; index < tokens.size(); ++index) {
                    auto const refused = check(make_request(host, origin, kind, tokens[index]), Door::loopback, rules());

                    auto expected = 0;
                    if (!host.good || !origin.good) {
                        expected = 403;
                    } else if (index != 2) {
                        expected = 401;
                    } else if (!kind.good) {
                        expected = 415;
                    }
                    ++count;
                    wrong += (refused ? refused->status : 0) == expected ? 0 : 1;
                }
            }
        }
    }

    CHECK(count == 5040);
    CHECK(wrong == 0);
}

TEST_CASE("guard: a cross-site request of a browser may read nothing new but change nothing either")
{
    auto request = make_request({"localhost:7597", true}, {std::nullopt, true}, {"POST", "application/json"},
                                fmt::format("Bearer {}", secret));
    request.headers.push_back({"sec-fetch-site", "cross-site"});

    CHECK(check(request, Door::loopback, rules())->reason == RefusalReason::cross_site);
    request.method = "GET";
    CHECK(!check(request, Door::loopback, rules()));
}

TEST_CASE("guard: a form is taken for sound alone, and a POST without a body has no type")
{
    auto const authorization = fmt::format("Bearer {}", secret);
    auto request = make_request({"localhost:7597", true}, {std::nullopt, true},
                                {"POST", "multipart/form-data; boundary=x"}, authorization);

    CHECK(check(request, Door::loopback, rules())->reason == RefusalReason::media_type);
    request.target = "/v1/audio/transcriptions";
    CHECK(!check(request, Door::loopback, rules()));
    request.headers[1].value = "text/plain";
    CHECK(check(request, Door::loopback, rules())->reason == RefusalReason::media_type);
    request.headers.back().value = "0";
    CHECK(!check(request, Door::loopback, rules()));
    request.headers.push_back({"transfer-encoding", "chunked"});
    CHECK(check(request, Door::loopback, rules())->reason == RefusalReason::media_type);
}

TEST_CASE("guard: health needs no token, metrics do")
{
    auto request = make_request({"localhost:7597", true}, {std::nullopt, true}, {"GET", ""}, "");

    request.target = "/healthz";
    CHECK(!check(request, Door::loopback, rules()));
    request.target = "/readyz?x=y";
    CHECK(!check(request, Door::loopback, rules()));
    request.target = "/metrics";
    CHECK(check(request, Door::loopback, rules())->status == 401);
    request.target = "/healthz/../v1/models";
    CHECK(check(request, Door::loopback, rules())->status == 401);
}

TEST_CASE("guard: the Unix socket needs no token but the host plexus, and lets no origin in")
{
    auto const kind = Kind{"POST", "application/json"};

    CHECK(!check(make_request({"plexus", true}, {std::nullopt, true}, kind, ""), Door::local_socket, rules()));
    CHECK(check(make_request({"evil.example", true}, {std::nullopt, true}, kind, ""), Door::local_socket, rules())->status ==
          403);
    CHECK(check(make_request({"plexus", true}, {"http://localhost:7597", true}, kind, ""), Door::local_socket, rules())
              ->status == 403);
}

TEST_CASE("guard: without a token in the rules nobody gets in")
{
    auto open = rules();
    open.token.clear();

    CHECK(check(make_request({"localhost:7597", true}, {std::nullopt, true}, {"GET", ""}, "Bearer "), Door::loopback, open)
              ->status == 401);
}

TEST_CASE("guard: a page of an approved origin may change things from another site, with the token")
{
    auto request = make_request({"localhost:7597", true}, {"http://tool.example:3000", true},
                                {"POST", "application/json"}, fmt::format("Bearer {}", secret));
    request.headers.push_back({"sec-fetch-site", "cross-site"});

    CHECK(!check(request, Door::loopback, rules()));
    request.headers[1].value = "https://evil.example";
    CHECK(check(request, Door::loopback, rules())->reason == RefusalReason::origin);
}
