#include "client.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::cli {

namespace http = boost::beast::http;
namespace json = boost::json;

namespace {

constexpr std::size_t max_head_bytes = 64 << 10;
constexpr std::size_t read_bytes = 16 << 10;

/// Takes a response apart as it arrives.
class ResponseReader {
public:
    ResponseReader(std::function<void(Reply const&)> head, std::function<void(std::string_view)> piece)
        : head_(std::move(head)), piece_(std::move(piece))
    {
        parser_.body_limit(boost::none);
        parser_.header_limit(max_head_bytes);
    }

    bool is_done() { return parser_.is_done(); }
    Reply& reply() { return reply_; }

    bool push(std::string_view received)
    {
        buffer_ += received;
        while (!buffer_.empty() && !parser_.is_done()) {
            auto code = boost::system::error_code{};
            auto const count = parser_.put(asio::const_buffer(buffer_.data(), buffer_.size()), code);
            buffer_.erase(0, count);
            if (code && code != http::error::need_more) {
                return false;
            }
            note_head();
            pass_body();
            if (code || count == 0) {
                break;
            }
        }
        return true;
    }

    bool end()
    {
        auto code = boost::system::error_code{};
        if (!parser_.is_done()) {
            parser_.put_eof(code);
        }
        return !code;
    }

private:
    void note_head()
    {
        if (has_head_ || !parser_.is_header_done()) {
            return;
        }
        has_head_ = true;
        reply_.status = static_cast<int>(parser_.get().result_int());
        for (auto const& field : parser_.get()) {
            auto name = std::string(field.name_string());
            std::ranges::transform(name, name.begin(), [](char letter) { return static_cast<char>(std::tolower(letter)); });
            reply_.headers[name] = std::string(field.value());
        }
        if (head_) {
            head_(reply_);
        }
    }

    void pass_body()
    {
        auto& body = parser_.get().body();
        if (body.empty()) {
            return;
        }
        if (piece_ && reply_.is_good()) {
            piece_(body);
        } else {
            reply_.body += body;
        }
        body.clear();
    }

    std::function<void(Reply const&)> head_;
    std::function<void(std::string_view)> piece_;
    http::response_parser<http::string_body> parser_;
    std::string buffer_;
    Reply reply_;
    bool has_head_ = false;
};

/// What a code of the API means here.
struct Meaning {
    std::string_view code;
    ExitCode exit;
    std::string_view next = "";   ///< if the daemon did not say
    bool gives_reason = false;  ///< the sentence is "what: why"
};

constexpr auto meanings = std::array{
    Meaning{"unavailable", ExitCode::no_device, "plexus status"},
    Meaning{"device_lost", ExitCode::network, "ask again", true},
    Meaning{"refused", ExitCode::network, "plexus device ls"},
    Meaning{"timed_out", ExitCode::timed_out, "ask again"},
    Meaning{"cancelled", ExitCode::failed, "ask again"},
    Meaning{"model_not_found", ExitCode::not_found, "plexus model ls", true},
    Meaning{"context_length_exceeded", ExitCode::failed, "ask with a shorter text"},
    Meaning{"out_of_space", ExitCode::failed, "plexus model rm NAME, or make room on the disk"},
    Meaning{"invalid_value", ExitCode::usage, "plexus help"},
    Meaning{"invalid_type", ExitCode::usage, "plexus help"},
    Meaning{"missing_field", ExitCode::usage, "plexus help"},
};

ExitCode exit_code_of(int status)
{
    switch (status) {
    case 401:
    case 403: return ExitCode::not_allowed;
    case 404: return ExitCode::not_found;
    case 408:
    case 504: return ExitCode::timed_out;
    case 409: return ExitCode::conflict;
    default: return ExitCode::failed;
    }
}

void add_meaning(Failure& failure)
{
    auto const found = std::ranges::find(meanings, failure.code, &Meaning::code);
    if (found == meanings.end()) {
        return;
    }
    failure.exit = found->exit;
    failure.next = failure.next.empty() ? found->next : failure.next;
    if (found->gives_reason) {
        separate_reason(failure);
    }
}

std::string text_of(json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string{};
}

std::string request_text(std::string_view method, std::string_view target, std::string_view body)
{
    auto text = fmt::format("{} {} HTTP/1.1\r\nHost: plexus\r\nConnection: close\r\n", method, target);
    if (method == "POST") {
        text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
    }
    return text + "\r\n" + std::string(body);
}

std::unexpected<Failure> no_daemon(std::filesystem::path const& socket, Error const& error)
{
    if (error.kind == ErrorKind::not_allowed) {
        return failed(ExitCode::not_allowed, "not_allowed", "The daemon belongs to another user.",
                      fmt::format("{} may not be opened", socket.string()), "run this command as that user");
    }
    if (error.kind == ErrorKind::malformed) {
        return failed(ExitCode::usage, "malformed", "The daemon's socket cannot be opened.", error.text,
                      "set PLEXUS_HOME to a shorter path");
    }
    return failed(ExitCode::no_daemon, "no_daemon", "The daemon is not running.",
                  fmt::format("nothing answers on {}", socket.string()), "plexus up");
}

std::unexpected<Failure> broken_answer(std::string why)
{
    return failed(ExitCode::network, "device_lost", "The daemon ended the conversation.", std::move(why), "plexus status");
}

Task<Outcome<Reply>> receive(Socket& socket, ResponseReader& reader)
{
    auto buffer = Bytes(read_bytes);
    while (!reader.is_done()) {
        auto const count = co_await socket.read_some(buffer);
        if (!count) {
            co_return broken_answer(count.error().text);
        }
        if (*count == 0) {
            break;
        }
        if (!reader.push(as_text(ByteView(buffer).first(*count)))) {
            co_return broken_answer("its answer is not HTTP");
        }
    }
    if (!reader.end()) {
        co_return broken_answer("its answer is not whole");
    }
    co_return std::move(reader.reply());
}

/// So that with_deadline can carry an Outcome.
Task<Result<Outcome<Reply>>> wrapped(Task<Outcome<Reply>> task)
{
    co_return co_await std::move(task);
}

}  // namespace

void separate_reason(Failure& failure)
{
    if (auto const colon = failure.what.find(": "); failure.why.empty() && colon != std::string::npos) {
        failure.why = failure.what.substr(colon + 2);
        failure.what.resize(colon);
    }
}

std::string percent_encoded(std::string_view text)
{
    auto encoded = std::string{};
    for (auto const each : text) {
        auto const is_plain = std::isalnum(static_cast<unsigned char>(each)) != 0 || each == '-' || each == '.' ||
                              each == '_' || each == '~' || each == '/';
        encoded += is_plain ? std::string(1, each) : fmt::format("%{:02X}", static_cast<unsigned char>(each));
    }
    return encoded;
}

Failure failure_of(Reply const& reply)
{
    auto code = boost::system::error_code{};
    auto const value = json::parse(reply.body, code);
    auto failure = Failure{.code = "failed", .what = fmt::format("The daemon answered with status {}.", reply.status),
                           .why = "", .next = "plexus doctor"};
    if (!code && value.is_object()) {
        auto const* error = value.get_object().if_contains("error");
        auto const& object = error != nullptr && error->is_object() ? error->get_object() : value.get_object();
        failure.code = text_of(object, "code");
        failure.what = error != nullptr ? text_of(object, "message") : text_of(object, "detail");
        failure.next = text_of(object, "next");
    }
    failure.exit = exit_code_of(reply.status);
    add_meaning(failure);
    return failure;
}

Task<Outcome<Reply>> Client::exchange(std::string request, std::function<void(Reply const&)> head,
                                      std::function<void(std::string_view)> piece)
{
    auto connected = co_await env_.network().connect_local(socket_);
    if (!connected) {
        co_return no_daemon(socket_, connected.error());
    }
    auto const socket = std::move(*connected);
    if (auto const sent = co_await socket->write(as_view(request)); !sent) {
        co_return broken_answer(sent.error().text);
    }
    auto reader = ResponseReader(std::move(head), std::move(piece));
    auto const deadline = timeout_ > Duration::zero() ? env_.deadline_in(timeout_) : Deadline::never();
    auto received = co_await with_deadline(env_, deadline, wrapped(receive(*socket, reader)));
    if (!received) {
        co_return failed(ExitCode::timed_out, "timed_out", "The daemon did not answer in time.",
                         fmt::format("waited {:.0f} s", std::chrono::duration<double>(timeout_).count()),
                         "try again with a longer --timeout");
    }
    co_return std::move(*received);
}

Task<Outcome<json::value>> Client::call(std::string method, std::string target, std::string body)
{
    auto reply = co_await exchange(request_text(method, target, body), {}, {});
    if (!reply) {
        co_return std::unexpected(std::move(reply.error()));
    }
    if (!reply->is_good()) {
        co_return std::unexpected(failure_of(*reply));
    }
    auto code = boost::system::error_code{};
    auto value = json::parse(reply->body, code);
    if (code) {
        co_return broken_answer("its answer is not JSON");
    }
    co_return value;
}

Task<Outcome<json::value>> Client::get(std::string target)
{
    return call("GET", std::move(target), "");
}

Task<Outcome<json::value>> Client::post(std::string target, json::value body)
{
    return call("POST", std::move(target), json::serialize(body));
}

Task<Outcome<json::value>> Client::remove(std::string target)
{
    return call("DELETE", std::move(target), "");
}

Task<Outcome<Reply>> Client::stream(std::string target, std::string body, std::function<void(Reply const&)> head,
                                    std::function<void(std::string_view)> piece)
{
    auto reply = co_await exchange(request_text("POST", target, body), std::move(head), std::move(piece));
    if (reply && !reply->is_good()) {
        co_return std::unexpected(failure_of(*reply));
    }
    co_return reply;
}

}  // namespace plexus::cli
