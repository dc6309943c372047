#include <doctest/doctest.h>

#include "base/real_env.h"
#include "base/real_http.h"

using namespace plexus;
using namespace std::chrono_literals;

namespace {

/// A server on loopback that serves one connection by `script`, and a client that asks it.
class Bench {
public:
    using Script = std::function<Task<>(Env&, Socket&)>;

    explicit Bench(Script script) : http_(env_.context())
    {
        env_.use_http(http_);
        acceptor_ = env_.network().listen({asio::ip::make_address("127.0.0.1"), 0}).value();
        tasks_.spawn("server", serve(std::move(script)));
    }

    HttpRequest request() const
    {
        auto const port = acceptor_->local_endpoint().port;
        return {.url = fmt::format("http://127.0.0.1:{}/path?x=1", port), .public_only = false};
    }

    Env& env() { return env_; }
    bool was_reached() const { return was_reached_; }
    std::string const& asked() const { return asked_; }

    void run(std::function<Task<>()> client)
    {
        auto failure = std::exception_ptr{};
        auto whole = [](Bench& self, std::function<Task<>()> given) -> Task<> {
            co_await given();
            co_await self.tasks_.join();
        };
        asio::co_spawn(env_.executor(), whole(*this, std::move(client)),
                       [&](std::exception_ptr exception) { failure = exception; });
        env_.run();
        if (failure) {
            std::rethrow_exception(failure);
        }
    }

private:
    Task<> serve(Script script)
    {
        auto const socket = (co_await acceptor_->accept()).value();
        was_reached_ = true;
        auto buffer = Bytes(4096);
        while (!asked_.contains("\r\n\r\n")) {
            auto const count = (co_await socket->read_some(buffer)).value();
            asked_ += as_text(ByteView(buffer).first(count));
        }
        co_await script(env_, *socket);
    }

    RealEnv env_;
    RealHttp http_;
    std::unique_ptr<Acceptor> acceptor_;
    bool was_reached_ = false;
    std::string asked_;
    TaskScope tasks_{env_.executor()};
};

Bench::Script saying(std::string text)
{
    return [text = std::move(text)](Env&, Socket& socket) -> Task<> {
        CHECK(co_await socket.write(as_view(text)));
        CHECK(co_await socket.close_write());
    };
}

/// What the head of an answer to `request` fails with, or its status as text.
void check_outcome(Bench& bench, HttpRequest request, std::string_view expected)
{
    bench.run([&]() -> Task<> {
        auto const transfer = bench.env().http().start(request);
        auto const head = co_await transfer->head();
        auto const body = co_await read_body(*transfer, 1000);
        CHECK((head ? std::to_string(head->status) : std::string(to_string(head.error().kind))) ==
              expected.substr(0, expected.find(' ')));
        CHECK((body ? *body : std::string(to_string(body.error().kind))) == expected.substr(expected.find(' ') + 1));
    });
}

}  // namespace

TEST_CASE("real http: head and body come as they were sent, and a redirect is an answer")
{
    auto bench = Bench(
        saying("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation:  /there \r\nX-Size: 17\r\n"
               "Content-Length: 5\r\n\r\nhello"));
    auto request = bench.request();
    request.fields = {{"range", "bytes=5-"}};

    bench.run([&]() -> Task<> {
        auto const transfer = bench.env().http().start(request);
        auto const head = (co_await transfer->head()).value();
        CHECK(head.status == 302);
        CHECK(head.field("location") == "/there");
        CHECK(head.number("x-size") == 17);
        CHECK_FALSE(head.number("location").has_value());
        CHECK((co_await read_body(*transfer, 5)).value() == "hello");
        CHECK((co_await transfer->read()).value().empty());
    });

    CHECK(bench.asked().starts_with("GET /path?x=1 HTTP/1.1\r\n"));
    CHECK(bench.asked().contains("range: bytes=5-\r\n"));
}

TEST_CASE("real http: a body is sent with its length")
{
    auto bench = Bench(saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    auto request = bench.request();
    request.method = "POST";
    request.body = R"({"a":1})";
    request.fields = {{"content-type", "application/json"}};

    check_outcome(bench, request, "200 ");

    CHECK(bench.asked().starts_with("POST /path"));
    CHECK(bench.asked().contains("Content-Length: 7\r\n"));
}

TEST_CASE("real http: each piece of a stream is read before the next one is sent")
{
    auto pieces_read = 0;
    auto bench = Bench([&](Env& env, Socket& socket) -> Task<> {
        CHECK(co_await socket.write(as_view("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")));
        for (auto piece = 0; piece < 3; ++piece) {
            CHECK(co_await socket.write(as_view("6\r\nevent\n\r\n")));
            while (pieces_read <= piece) {
                co_await sleep_for(env, 1ms);
            }
        }
        CHECK(co_await socket.write(as_view("0\r\n\r\n")));
    });

    bench.run([&]() -> Task<> {
        auto const transfer = bench.env().http().start(bench.request());
        for (; pieces_read < 3; ++pieces_read) {
            CHECK(as_text((co_await transfer->read()).value()) == "event\n");
        }
        CHECK((co_await transfer->read()).value().empty());
    });
}

TEST_CASE("real http: what is not read waits, at most so much of it here")
{
    constexpr auto total = std::size_t{24} << 20;
    auto sent = std::size_t{0};
    auto bench = Bench([&](Env&, Socket& socket) -> Task<> {
        auto const head = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", total);
        CHECK(co_await socket.write(as_view(head)));
        auto const piece = Bytes(64 << 10, std::byte{7});
        for (; sent < total; sent += piece.size()) {
            CHECK(co_await socket.write(piece));
        }
    });

    bench.run([&]() -> Task<> {
        auto const transfer = bench.env().http().start(bench.request());
        CHECK(co_await transfer->head());
        // The server is stuck once what it could send has not grown for a while.
        for (auto before = SIZE_MAX; before != sent;) {
            before = sent;
            co_await sleep_for(bench.env(), 100ms);
        }
        CHECK(sent < total);
        auto received = std::size_t{0};
        for (auto piece = co_await transfer->read(); piece && !piece->empty(); piece = co_await transfer->read()) {
            CHECK(piece->size() <= HttpTransfer::max_waiting_bytes + (16 << 10));
            received += piece->size();
        }
        CHECK(received == total);
    });
}

TEST_CASE("real http: a transfer that is destroyed ends its connection")
{
    auto was_ended = false;
    auto bench = Bench([&](Env&, Socket& socket) -> Task<> {
        CHECK(co_await socket.write(as_view("HTTP/1.1 200 OK\r\n\r\nfirst")));
        auto buffer = Bytes(16);
        auto const count = co_await socket.read_some(buffer);
        was_ended = !count || *count == 0;
    });

    bench.run([&]() -> Task<> {
        {
            auto const transfer = bench.env().http().start(bench.request());
            CHECK(as_text((co_await transfer->read()).value()) == "first");
        }
        while (!was_ended) {
            co_await sleep_for(bench.env(), 1ms);
        }
    });
}

TEST_CASE("real http: an address that is not public is refused before anything is sent, by name too")
{
    for (auto const* host : {"127.0.0.1", "localhost", "[::1]", "127.1", "0x7f000001"}) {
        CAPTURE(host);
        auto bench = Bench(saying("HTTP/1.1 200 OK\r\n\r\n"));
        auto request = bench.request();
        request.url.replace(request.url.find("127.0.0.1"), 9, host);
        request.public_only = true;

        check_outcome(bench, request, "not_allowed not_allowed");

        CHECK_FALSE(bench.was_reached());
    }
}

TEST_CASE("real http: an answer that is cut off, broken or too long is an error")
{
    auto cut = Bench(saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"));
    check_outcome(cut, cut.request(), "200 closed");
    auto silent = Bench(saying(""));
    check_outcome(silent, silent.request(), "closed closed");
    auto broken = Bench(saying("SSH-2.0-OpenSSH\r\n"));
    check_outcome(broken, broken.request(), "malformed malformed");
    auto long_head = Bench(
        saying("HTTP/1.1 200 OK\r\nA: " + std::string(HttpTransfer::max_head_bytes, 'a') + "\r\n\r\n"));
    check_outcome(long_head, long_head.request(), "too_large too_large");
    auto long_body = Bench(saying("HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'a')));
    check_outcome(long_body, long_body.request(), "200 too_large");
}

TEST_CASE("real http: a server that says nothing is left after the limit")
{
    auto bench = Bench([](Env& env, Socket&) -> Task<> { co_await sleep_for(env, 1h); });
    auto request = bench.request();
    request.silence_limit = 1s;

    check_outcome(bench, request, "timed_out timed_out");
}

TEST_CASE("real http: a request that cannot be sent fails in the transfer")
{
    auto bench = Bench(saying(""));
    auto request = bench.request();
    request.fields = {{"x", "a\r\nhost: b"}};
    check_outcome(bench, request, "malformed malformed");

    auto other = Bench(saying(""));
    request = other.request();
    request.url = "ftp://127.0.0.1/";
    check_outcome(other, request, "malformed malformed");
    CHECK_FALSE(other.was_reached());
}
