// An OpenAI-compatible server that answers at once what was written beforehand: what stands behind the proxies that are
// measured. Every piece of a streamed answer is the steady clock in nanoseconds, so that its reader knows how long it took.
// A question's max_tokens is how many pieces there are, its seed how many microseconds lie between them: both pass any proxy.
#include <charconv>

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/task.h"

using namespace plexus;

namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

constexpr auto tuple_task = asio::as_tuple_t<asio::use_awaitable_t<Executor>>(use_task);
constexpr auto models = std::string_view(
    R"({"object":"list","data":[{"id":"mock","object":"model","owned_by":"bench","max_model_len":8192}]})");
constexpr auto stream_head = std::string_view(
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: "
    "chunked\r\n\r\n");

struct Options {
    std::uint16_t port = 0;
    std::uint64_t tokens = 8;
};

std::string document(std::string_view body)
{
    return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", body.size(),
                       body);
}

std::string piece(std::string_view text)
{
    return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
}

std::string event(std::string_view choices, std::string_view more = "")
{
    return piece(fmt::format(R"(data: {{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,)"
                             R"("model":"mock","choices":[{}]{}}})"
                             "\n\n",
                             choices, more));
}

std::string token_event()
{
    auto const now = Clock::now().time_since_epoch();
    return event(fmt::format(R"({{"index":0,"delta":{{"content":"{} "}},"finish_reason":null}})",
                             std::chrono::nanoseconds(now).count()));
}

std::string usage(std::uint64_t tokens)
{
    return fmt::format(R"("usage":{{"prompt_tokens":12,"completion_tokens":{},"total_tokens":{}}})", tokens,
                       12 + tokens);
}

std::string first_event()
{
    return event(R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})");
}

std::string last_events(std::uint64_t tokens)
{
    return event(R"({"index":0,"delta":{},"finish_reason":"stop"})") + event("", "," + usage(tokens)) +
           piece("data: [DONE]\n\n") + "0\r\n\r\n";
}

std::string whole_answer(std::uint64_t tokens)
{
    auto words = std::string{};
    for (std::uint64_t count = 0; count < tokens; ++count) {
        words += "1234567890123456 ";
    }
    return document(
        fmt::format(R"({{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,"model":"mock",)"
                    R"("choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},)"
                    R"("finish_reason":"stop"}}],{}}})",
                    words, usage(tokens)));
}

bool is_stream(std::string_view body)
{
    return body.contains(R"("stream":true)") || body.contains(R"("stream": true)");
}

/// The whole number behind `name`, which is written with its quotes and colon.
std::uint64_t number_of(std::string_view body, std::string_view name)
{
    auto const place = body.find(name);
    auto value = std::uint64_t{0};
    if (place != std::string_view::npos) {
        auto const digits = std::min(body.find_first_not_of(' ', place + name.size()), body.size());
        std::from_chars(body.data() + digits, body.data() + body.size(), value);
    }
    return value;
}

/// False when the client has gone.
Task<bool> send(Socket& socket, std::string text)
{
    auto const [code, count] = co_await asio::async_write(socket, asio::buffer(text), tuple_task);
    co_return !code;
}

Task<bool> send_stream(Socket& socket, std::uint64_t tokens, std::chrono::microseconds interval)
{
    auto waiting = std::string(stream_head) + first_event();
    if (interval.count() > 0) {
        auto timer = Timer(socket.get_executor(), Clock::now());
        for (std::uint64_t count = 0; count < tokens; ++count) {
            timer.expires_at(timer.expiry() + interval);
            std::ignore = co_await timer.async_wait(tuple_task);
            waiting += token_event();
            auto text = std::exchange(waiting, {});
            auto const sent = co_await send(socket, std::move(text));
            if (!sent) {
                co_return false;
            }
        }
    } else {
        for (std::uint64_t count = 0; count < tokens; ++count) {
            waiting += token_event();
        }
    }
    waiting += last_events(tokens);
    co_return co_await send(socket, std::move(waiting));
}

Task<> serve(Socket socket, Options const& options)
{
    auto ignored = boost::system::error_code{};
    socket.set_option(tcp::no_delay(true), ignored);
    auto buffer = boost::beast::flat_buffer();
    for (auto is_there = true; is_there;) {
        auto request = http::request<http::string_body>{};
        auto const [code, count] = co_await http::async_read(socket, buffer, request, tuple_task);
        if (code) {
            co_return;
        }
        auto const asked = number_of(request.body(), R"("max_tokens":)");
        auto const tokens = asked > 0 ? asked : options.tokens;
        if (request.method() == http::verb::post && is_stream(request.body())) {
            auto const interval = std::chrono::microseconds(number_of(request.body(), R"("seed":)"));
            is_there = co_await send_stream(socket, tokens, interval);
        } else {
            auto text = request.method() == http::verb::post ? whole_answer(tokens) : document(models);
            is_there = co_await send(socket, std::move(text));
        }
    }
}

Task<> accept(asio::basic_socket_acceptor<tcp, Executor>& acceptor, Options const& options)
{
    for (;;) {
        auto [code, socket] = co_await acceptor.async_accept(tuple_task);
        if (!code) {
            asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), options), asio::detached);
        }
    }
}

}  // namespace

int main(int argc, char** argv)
{
    auto app = CLI::App{"An OpenAI-compatible server that answers at once. It prints the port that it listens on."};
    auto options = Options{};
    app.add_option("--port", options.port);
    app.add_option("--tokens", options.tokens, "of an answer whose question names no max_tokens");
    CLI11_PARSE(app, argc, argv);

    auto loop = asio::io_context{1};
    auto const endpoint = tcp::endpoint(asio::ip::address_v4::loopback(), options.port);
    auto acceptor = asio::basic_socket_acceptor<tcp, Executor>(loop, endpoint);
    fmt::print("{}\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(loop.get_executor(), accept(acceptor, options), asio::detached);
    loop.run();
    return 0;
}
