#include <doctest/doctest.h>

#include "api/request_parser.h"

using namespace plexus;
using namespace plexus::api;

namespace {

using Progress = RequestParser::Progress;

/// All requests in `text`, given `step` bytes at a time.
std::vector<Request> parse_all(std::string_view text, std::size_t step)
{
    auto parser = RequestParser();
    auto requests = std::vector<Request>{};
    for (std::size_t place = 0; place < text.size(); place += step) {
        parser.push(as_view(text.substr(place, step)));
        for (;;) {
            auto const progress = parser.advance();
            REQUIRE(progress.has_value());
            if (*progress == Progress::need_more) {
                break;
            }
            if (*progress == Progress::complete) {
                requests.push_back(parser.take());
            }
        }
    }
    CHECK(parser.is_idle());
    return requests;
}

/// The status with which `text` is refused; 0 if it is not.
int refusal_of(std::string_view text)
{
    auto parser = RequestParser();
    parser.push(as_view(text));
    for (;;) {
        auto const progress = parser.advance();
        if (!progress) {
            return parser.refusal_status();
        }
        if (*progress == Progress::need_more) {
            return 0;
        }
        if (*progress == Progress::complete) {
            parser.take();
        }
    }
}

}  // namespace

TEST_CASE("request parser: pipelined requests come out whole at every split of the bytes")
{
    auto const text = std::string("GET /one?a=b HTTP/1.1\r\nHost: plexus\r\nX-Some: Value\r\n\r\n"
                                  "POST /two HTTP/1.1\r\nHost: plexus\r\nContent-Length: 5\r\n\r\nhello"
                                  "POST /three HTTP/1.1\r\nHost: plexus\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
                                  "GET /four HTTP/1.0\r\n\r\n");

    for (std::size_t step = 1; step <= text.size(); ++step) {
        auto const requests = parse_all(text, step);

        REQUIRE(requests.size() == 4);
        CHECK(requests[0].path() == "/one");
        CHECK(requests[0].query() == "a=b");
        CHECK(requests[0].header("x-some") == "Value");
        CHECK(requests[1].body == "hello");
        CHECK(requests[2].body == "abcdefg");
        CHECK(requests[2].keep_alive);
        CHECK(!requests[3].keep_alive);
        CHECK(!requests[3].is_http_1_1);
    }
}

TEST_CASE("request parser: a head over 16 KiB is refused before it is whole")
{
    auto const text = "GET / HTTP/1.1\r\nHost: plexus\r\nX-Long: " + std::string(max_head_bytes, 'a');

    CHECK(refusal_of(text) == 431);
}

TEST_CASE("request parser: too many header fields are refused")
{
    auto text = std::string("GET / HTTP/1.1\r\nHost: plexus\r\n");
    for (auto count = 0; count < 200; ++count) {
        text += fmt::format("X-{}: y\r\n", count);
    }

    CHECK(refusal_of(text + "\r\n") == 431);
}

TEST_CASE("request parser: a body that says it is over 8 MiB is refused before a byte of it is kept")
{
    auto const claims = fmt::format("POST / HTTP/1.1\r\nHost: plexus\r\nContent-Length: {}\r\n\r\n", max_body_bytes + 1);

    CHECK(refusal_of(claims) == 413);
}

TEST_CASE("request parser: chunks that add up to more than 8 MiB are refused")
{
    auto const chunk = fmt::format("{:x}\r\n", max_body_bytes / 2) + std::string(max_body_bytes / 2, 'a') + "\r\n";
    auto const text = "POST / HTTP/1.1\r\nHost: plexus\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "1\r\na\r\n";

    CHECK(refusal_of(text) == 413);
}

TEST_CASE("request parser: a chunk header that never ends is refused")
{
    auto const text = "POST / HTTP/1.1\r\nHost: plexus\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(200'000, 'a');

    CHECK(refusal_of(text) == 400);
}

TEST_CASE("request parser: what is not HTTP, or ambiguous, is refused")
{
    CHECK(refusal_of("hello\r\n\r\n") == 400);
    CHECK(refusal_of("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") == 400);
    CHECK(refusal_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
    CHECK(refusal_of("GET http://localhost/ HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
    CHECK(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == 400);
    CHECK(refusal_of("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == 400);
    CHECK(refusal_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab") == 400);
    CHECK(refusal_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n") == 400);
    CHECK(refusal_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
    CHECK(refusal_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") == 400);
}

TEST_CASE("request parser: the head comes before the body, and a client that waits for it is noticed")
{
    auto parser = RequestParser();
    parser.push(as_view("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));

    CHECK(parser.advance() == Progress::head);
    CHECK(parser.expects_continue());
    CHECK(parser.is_in_body());
    CHECK(parser.advance() == Progress::need_more);

    parser.push(as_view("ok"));
    CHECK(!parser.expects_continue());
    CHECK(parser.advance() == Progress::complete);
    CHECK(parser.take().body == "ok");
}
