#include "api/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace plexus::api {

namespace http = boost::beast::http;

namespace {

constexpr std::size_t max_header_fields = 100;
constexpr std::size_t max_unparsed_bytes = 128 << 10;  // a chunk header or trailer that never ends

std::string lower_case(std::string_view text)
{
    auto lower = std::string(text);
    for (auto& letter : lower) {
        if (letter >= 'A' && letter <= 'Z') {
            letter = static_cast<char>(letter + ('a' - 'A'));
        }
    }
    return lower;
}

std::string_view view(boost::beast::string_view text)
{
    return {text.data(), text.size()};
}

}  // namespace

struct RequestParser::State {
    using Parser = http::request_parser<http::string_body>;

    State() { restart(); }

    void restart()
    {
        parser.emplace();
        parser->header_limit(max_head_bytes);
        parser->body_limit(max_body_bytes);
        request = Request{};
        has_head = false;
        body_began = false;
    }

    ByteView rest() const { return ByteView(buffer).subspan(consumed); }

    Result<Progress> finish_head();
    Result<Progress> feed();
    std::unexpected<Error> refuse(int with_status, ErrorKind kind, std::string_view text);
    std::unexpected<Error> refuse(boost::system::error_code code);

    std::optional<Parser> parser;
    Bytes buffer;
    std::size_t consumed = 0;
    Request request;
    bool has_head = false;
    bool body_began = false;
    int status = 400;
};

RequestParser::RequestParser() : state_(std::make_unique<State>()) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

void RequestParser::push(ByteView received)
{
    auto& state = *state_;
    state.buffer.erase(state.buffer.begin(), state.buffer.begin() + static_cast<std::ptrdiff_t>(state.consumed));
    state.consumed = 0;
    append(state.buffer, received);
}

Result<RequestParser::Progress> RequestParser::advance()
{
    auto& state = *state_;
    for (;;) {
        if (state.parser->is_done() && state.has_head) {
            state.request.body = std::move(state.parser->get().body());
            return Progress::complete;
        }
        auto const had_head = state.has_head;
        auto progress = state.feed();
        if (!progress || *progress == Progress::need_more || !had_head) {
            return progress;
        }
    }
}

Result<RequestParser::Progress> RequestParser::State::feed()
{
    auto const before = rest();
    if (before.empty()) {
        return Progress::need_more;
    }
    auto code = boost::system::error_code{};
    auto const count = parser->put(boost::asio::const_buffer(before.data(), before.size()), code);
    consumed += count;
    if (code && code != http::error::need_more) {
        return refuse(code);
    }
    if (has_head && count > 0) {
        body_began = true;
    }
    if (!has_head && parser->is_header_done()) {
        return finish_head();
    }
    if (code == http::error::need_more && rest().size() > max_unparsed_bytes) {
        return refuse(400, ErrorKind::too_large, "a chunk header or trailer does not end");
    }
    return code == http::error::need_more ? Progress::need_more : Progress::complete;
}

Result<RequestParser::Progress> RequestParser::State::finish_head()
{
    auto const& message = parser->get();
    has_head = true;
    request.method = view(message.method_string());
    request.target = view(message.target());
    request.keep_alive = message.keep_alive();
    request.is_http_1_1 = message.version() == 11;
    for (auto const& field : message) {
        if (request.headers.size() >= max_header_fields) {
            return refuse(431, ErrorKind::too_large, "the request has too many header fields");
        }
        request.headers.push_back({lower_case(view(field.name_string())), std::string(view(field.value()))});
    }
    if (message.version() != 11 && message.version() != 10) {
        return refuse(505, ErrorKind::malformed, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    if (!request.target.starts_with('/')) {
        return refuse(400, ErrorKind::malformed, "the request target must begin with a slash");
    }
    if (request.count("host") > 1 || request.count("authorization") > 1 || request.count("origin") > 1) {
        return refuse(400, ErrorKind::malformed, "a header field that may come once came twice");
    }
    return Progress::head;
}

std::unexpected<Error> RequestParser::State::refuse(int with_status, ErrorKind kind, std::string_view text)
{
    status = with_status;
    return std::unexpected(Error{kind, std::string(text)});
}

std::unexpected<Error> RequestParser::State::refuse(boost::system::error_code code)
{
    request.target = view(parser->get().target());  // may be there though the head is not
    if (code == http::error::header_limit) {
        return refuse(431, ErrorKind::too_large, "the request head is larger than 16 KiB");
    }
    if (code == http::error::body_limit) {
        return refuse(413, ErrorKind::too_large, "the request body is larger than 8 MiB");
    }
    if (code == http::error::bad_version) {
        return refuse(505, ErrorKind::malformed, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    return refuse(400, ErrorKind::malformed, fmt::format("the request is not HTTP: {}", code.message()));
}

Request const& RequestParser::request() const
{
    return state_->request;
}

Request RequestParser::take()
{
    auto request = std::move(state_->request);
    state_->restart();
    return request;
}

bool RequestParser::expects_continue() const
{
    auto const& state = *state_;
    if (!state.has_head || state.body_began || state.parser->is_done() || !state.rest().empty()) {
        return false;
    }
    auto const value = state.request.header("expect");
    return state.request.is_http_1_1 && value && lower_case(*value) == "100-continue";
}

bool RequestParser::is_idle() const
{
    return !state_->has_head && state_->rest().empty();
}

bool RequestParser::is_in_body() const
{
    return state_->has_head && !state_->parser->is_done();
}

int RequestParser::refusal_status() const
{
    return state_->status;
}

}  // namespace plexus::api
