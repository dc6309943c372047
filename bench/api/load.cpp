// Asks one HTTP server the same question many times and says how long it took. One JSON line at the end.
//
// With --rate it asks at fixed times, however slow the answers are (open loop); with --connections each of them asks again as
// soon as it has its answer (closed loop). Pieces of text that are a time of the steady clock, as plexus-mock-engine sends
// them, are told as delays.
#include <charconv>

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/task.h"
#include "histogram.h"

using namespace plexus;

namespace {

namespace http = boost::beast::http;
using asio::ip::tcp;
using bench::Histogram;
using Clock = std::chrono::steady_clock;
using Moment = Clock::time_point;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

constexpr auto tuple_task = asio::as_tuple_t<asio::use_awaitable_t<Executor>>(use_task);
constexpr std::size_t read_bytes = 64 << 10;
constexpr std::size_t most_at_once = 2000;  // open loop: an answer that is asked for beyond these is missed
constexpr auto answer_limit = std::chrono::seconds(120);
constexpr auto least_stamp = std::int64_t{1'000'000'000};

struct Options {
    std::uint16_t port = 0;
    std::string path = "/v1/chat/completions";
    std::vector<std::string> fields;
    std::string body;
    std::string expected;  // in the answer
    double rate = 0;
    std::size_t connections = 1;
    double seconds = 5;
    double warm_up = 1;
};

struct Tally {
    Histogram answers;
    Histogram delays;
    Histogram first_pieces;  // from the question to the first piece of text
    std::uint64_t errors = 0;
    std::uint64_t missed = 0;
    std::uint64_t unanswered = 0;
    std::string first_error;

    void fail(std::string why)
    {
        if (errors++ == 0) {
            first_error = std::move(why);
        }
    }
};

/// Finds the pieces of text that are times.
class Stamps {
public:
    template <typename Action>
    void push(std::string_view text, Action each)
    {
        constexpr auto marker = std::string_view(R"("content":)");
        text_ += text;
        for (auto place = text_.find(marker); place != std::string::npos; place = text_.find(marker)) {
            auto const begin = std::min(text_.find_first_not_of(" \"", place + marker.size()), text_.size());
            auto const end = text_.find_first_not_of("0123456789", begin);
            if (end == std::string::npos) {
                text_.erase(0, place);
                return;
            }
            auto value = std::int64_t{0};
            std::from_chars(text_.data() + begin, text_.data() + end, value);
            if (value >= least_stamp) {
                each(value);
            }
            text_.erase(0, end);
        }
        text_.erase(0, text_.size() - std::min(text_.size(), marker.size() - 1));
    }

private:
    std::string text_;
};

/// One connection, opened when it is needed.
class Client {
public:
    Client(Executor executor, Options const& options, std::string const& request, Tally& tally)
        : options_(options), request_(request), tally_(tally), socket_(executor), chunk_(read_bytes)
    {
    }

    /// Asks once. What began before `counted_from` or ended after `counted_to` is not told, but for errors.
    Task<> ask(Moment counted_from, Moment counted_to)
    {
        auto const began = Clock::now();
        is_counted_ = began >= counted_from;
        ++tally_.unanswered;
        auto const why = co_await try_to_ask(began);
        --tally_.unanswered;
        auto const ended = Clock::now();
        if (!why.empty()) {
            socket_ = Socket(socket_.get_executor());
            buffer_.clear();
            tally_.fail(why);
        } else if (is_counted_ && ended <= counted_to) {
            tally_.answers.add(nanoseconds(ended - began));
        }
    }

private:
    static std::int64_t nanoseconds(Clock::duration time)
    {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    }

    /// Empty, or what went wrong.
    Task<std::string> try_to_ask(Moment began)
    {
        auto code = boost::system::error_code{};
        auto count = std::size_t{0};
        if (!socket_.is_open()) {
            auto const there = tcp::endpoint(asio::ip::address_v4::loopback(), options_.port);
            std::tie(code) = co_await socket_.async_connect(there, tuple_task);
            if (code) {
                co_return "connect: " + code.message();
            }
            socket_.set_option(tcp::no_delay(true), code);
        }
        std::tie(code, count) = co_await asio::async_write(socket_, asio::buffer(request_), tuple_task);
        if (code) {
            co_return "write: " + code.message();
        }
        co_return co_await read_answer(began);
    }

    Task<std::string> read_answer(Moment began)
    {
        auto parser = http::response_parser<http::buffer_body>{};
        parser.body_limit(boost::none);
        auto [code, count] = co_await http::async_read_header(socket_, buffer_, parser, tuple_task);
        stamps_ = {};
        tail_.clear();
        has_piece_ = is_expected_ = false;
        while (!code && !parser.is_done()) {
            parser.get().body().data = chunk_.data();
            parser.get().body().size = chunk_.size();
            std::tie(code, count) = co_await http::async_read_some(socket_, buffer_, parser, tuple_task);
            if (code == http::error::need_buffer) {
                code = {};
            }
            take({chunk_.data(), chunk_.size() - parser.get().body().size}, began);
        }
        if (code) {
            co_return "read: " + code.message();
        }
        if (!parser.keep_alive()) {
            socket_ = Socket(socket_.get_executor());
        }
        if (parser.get().result_int() != 200 || !is_expected_) {
            co_return fmt::format("status {}: {}", parser.get().result_int(), tail_);
        }
        co_return std::string{};
    }

    void take(std::string_view text, Moment began)
    {
        constexpr std::size_t tail_bytes = 300;
        auto const now = Clock::now();
        stamps_.push(text, [&](std::int64_t stamp) {
            if (is_counted_) {
                tally_.delays.add(nanoseconds(now.time_since_epoch()) - stamp);
            }
            if (!std::exchange(has_piece_, true) && is_counted_) {
                tally_.first_pieces.add(nanoseconds(now - began));
            }
        });
        tail_ += text;
        is_expected_ = is_expected_ || tail_.contains(options_.expected);
        tail_.erase(0, tail_.size() - std::min(tail_.size(), tail_bytes));
    }

    Options const& options_;
    std::string const& request_;
    Tally& tally_;
    Socket socket_;
    boost::beast::flat_buffer buffer_;
    std::vector<char> chunk_;
    Stamps stamps_;
    std::string tail_;
    bool has_piece_ = false;
    bool is_expected_ = false;
    bool is_counted_ = false;
};

class Load {
public:
    Load(Executor executor, Options const& options)
        : executor_(executor), options_(options), request_(request_of(options)), began_(Clock::now()),
          counted_from_(began_ + duration(options.warm_up)), counted_to_(counted_from_ + duration(options.seconds))
    {
    }

    void start()
    {
        if (options_.rate > 0) {
            asio::co_spawn(executor_, ask_at_times(), asio::detached);
            return;
        }
        for (std::size_t count = 0; count < options_.connections; ++count) {
            asio::co_spawn(executor_, ask_again_and_again(), asio::detached);
        }
    }

    Moment latest_end() const { return counted_to_ + answer_limit; }

    std::string report() const
    {
        auto const micro = [](double nanoseconds) { return nanoseconds / 1000; };
        auto const times = [&](Histogram const& of) {
            return fmt::format(R"({{"count":{},"mean":{:.1f},"p50":{:.1f},"p90":{:.1f},"p99":{:.1f},"most":{:.1f}}})",
                               of.total(), micro(of.mean()), micro(of.quantile(0.5)), micro(of.quantile(0.9)),
                               micro(of.quantile(0.99)), micro(of.most()));
        };
        auto error = tally_.first_error.substr(0, 200);
        std::ranges::replace_if(error, [](char each) { return each < ' ' || each == '"' || each == '\\'; }, '\'');
        return fmt::format(
            R"({{"seconds":{},"answers_us":{},"delays_us":{},"first_pieces_us":{},"errors":{},"missed":{},)"
            R"("unanswered":{},"first_error":"{}"}})",
            options_.seconds, times(tally_.answers), times(tally_.delays), times(tally_.first_pieces), tally_.errors,
            tally_.missed, tally_.unanswered, error);
    }

private:
    static Clock::duration duration(double seconds)
    {
        return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    }

    static std::string request_of(Options const& options)
    {
        auto text = fmt::format("POST {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n",
                                options.path, options.port);
        for (auto const& field : options.fields) {
            text += field + "\r\n";
        }
        return text + fmt::format("Content-Length: {}\r\n\r\n{}", options.body.size(), options.body);
    }

    Task<> ask_again_and_again()
    {
        auto client = Client(executor_, options_, request_, tally_);
        while (Clock::now() < counted_to_) {
            co_await client.ask(counted_from_, counted_to_);
        }
    }

    Task<> ask_at_times()
    {
        auto timer = Timer(executor_);
        auto const step = duration(1 / options_.rate);
        for (auto due = began_; due < counted_to_; due += step) {
            timer.expires_at(due);
            std::ignore = co_await timer.async_wait(tuple_task);
            if (tally_.unanswered >= most_at_once) {
                ++tally_.missed;
                continue;
            }
            asio::co_spawn(executor_, ask_once(), asio::detached);
        }
    }

    Task<> ask_once()
    {
        if (idle_.empty()) {
            idle_.push_back(std::make_unique<Client>(executor_, options_, request_, tally_));
        }
        auto client = std::move(idle_.back());
        idle_.pop_back();
        co_await client->ask(counted_from_, latest_end());
        idle_.push_back(std::move(client));
    }

    Executor executor_;
    Options const& options_;
    std::string request_;
    Moment began_;
    Moment counted_from_;
    Moment counted_to_;
    Tally tally_;
    std::vector<std::unique_ptr<Client>> idle_;
};

}  // namespace

int main(int argc, char** argv)
{
    auto app = CLI::App{"Asks an HTTP server on 127.0.0.1 the same question many times and says how long it took."};
    auto options = Options{};
    app.add_option("--port", options.port)->required();
    app.add_option("--path", options.path);
    app.add_option("--field", options.fields, "a header field, as it is written");
    app.add_option("--body", options.body)->required();
    app.add_option("--expect", options.expected, "what a good answer contains");
    app.add_option("--rate", options.rate, "questions a second, at fixed times");
    app.add_option("--connections", options.connections, "that ask as fast as they are answered");
    app.add_option("--seconds", options.seconds, "that are counted");
    app.add_option("--warm-up", options.warm_up, "seconds before");
    CLI11_PARSE(app, argc, argv);

    auto loop = asio::io_context{1};
    auto load = Load(loop.get_executor(), options);
    load.start();
    loop.run_until(load.latest_end());
    fmt::print("{}\n", load.report());
    return 0;
}
