#include "api/http_server.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "api/request_parser.h"
#include "base/log.h"

namespace plexus::api {

namespace {

using namespace asio::experimental::awaitable_operators;

constexpr std::size_t read_bytes = 16 << 10;
constexpr std::size_t max_unread_bytes = 64 << 10;  // what may wait between the socket and the parser
// A refused client that is still sending reads why only when it has been let finish.
constexpr std::size_t max_discarded_bytes = 64 << 20;
constexpr auto linger = std::chrono::seconds(2);
constexpr auto accept_pause = std::chrono::milliseconds(200);  // out of descriptors: do not spin

/// One connection: a task that reads into a buffer and one that answers, whichever ends first ends both.
class Connection final : public Exchange {
public:
    Connection(Env& env, Handler& handler, HttpLimits const& limits, std::unique_ptr<Socket> socket, Door door)
        : env_(env), handler_(handler), limits_(limits), socket_(std::move(socket)), door_(door),
          changed_(env.executor())
    {
    }

    Task<> run()
    {
        co_await (answer_all() || read_all());
        socket_->reset();
    }

    /// Says that there is no room and closes.
    Task<> turn_away()
    {
        keep_alive_ = false;
        request_id_ = new_request_id();
        auto response = handler_.malformed(503, "too many connections", target_, door_);
        response.headers.push_back({"retry-after", "1"});
        std::ignore = co_await respond(std::move(response));
        socket_->reset();
    }

    Door door() const override { return door_; }
    std::string const& request_id() const override { return request_id_; }
    bool has_begun() const override { return begun_; }

    Task<Result<void>> respond(Response response) override;
    Task<Result<void>> start(Response head) override;
    Task<Result<void>> write(std::string_view piece) override;
    Task<Result<void>> finish() override;

private:
    Task<> read_all();
    Task<> answer_all();
    Task<bool> answer_next();
    Task<bool> answer(Request request);
    Task<Result<RequestParser::Progress>> receive();
    Task<> refuse(Response response);
    Task<Result<void>> send(std::span<ByteView const> parts);
    Duration patience() const;
    std::string new_request_id() { return "req_" + to_hex(env_.random("api").bytes(12)); }
    void begin_exchange();
    void add_common(Response& response) const;

    Env& env_;
    Handler& handler_;
    HttpLimits const& limits_;
    std::unique_ptr<Socket> socket_;
    Door door_;

    RequestParser parser_;
    Bytes unread_;  // from the socket, not yet in the parser
    bool ended_ = false;
    Signal changed_;

    std::string request_id_;
    std::string target_;  // of the request whose head has come
    std::vector<Header> common_headers_;
    bool keep_alive_ = true;
    bool begun_ = false;
    bool finished_ = false;
    bool without_body_ = false;
    Framing framing_ = Framing::length;
};

Task<> Connection::read_all()
{
    auto chunk = Bytes(read_bytes);
    for (;;) {
        while (unread_.size() >= max_unread_bytes) {
            co_await changed_.wait();
        }
        auto const count = co_await socket_->read_some(chunk);
        if (!count) {
            co_return;
        }
        if (*count == 0) {
            break;
        }
        append(unread_, ByteView(chunk).first(*count));
        changed_.notify();
    }
    ended_ = true;
    changed_.notify();
    co_await sleep_for(env_, limits_.half_closed);
}

Task<> Connection::answer_all()
{
    while (co_await answer_next()) {
    }
}

Duration Connection::patience() const
{
    if (parser_.is_idle()) {
        return limits_.idle;
    }
    return parser_.is_in_body() ? limits_.body : limits_.head;
}

/// The parser's next step, or `closed` at the end of the connection.
Task<Result<RequestParser::Progress>> Connection::receive()
{
    for (;;) {
        auto progress = parser_.advance();
        if (!progress || *progress != RequestParser::Progress::need_more) {
            co_return progress;
        }
        while (unread_.empty()) {
            if (ended_) {
                co_return fail(ErrorKind::closed, "the client ended the connection");
            }
            co_await changed_.wait();
        }
        parser_.push(unread_);
        unread_.clear();
        changed_.notify();
        co_return RequestParser::Progress::need_more;
    }
}

Task<bool> Connection::answer_next()
{
    auto stage = patience();
    auto deadline = env_.deadline_in(stage);
    for (;;) {
        auto const progress = co_await with_deadline(env_, deadline, receive());
        if (!progress && progress.error().kind == ErrorKind::timed_out && !parser_.is_idle()) {
            target_ = parser_.request().target;
            co_await refuse(handler_.malformed(408, "the request did not arrive in time", target_, door_));
            co_return false;
        }
        if (!progress) {
            auto const is_fault = progress.error().kind == ErrorKind::malformed ||
                                  progress.error().kind == ErrorKind::too_large;
            if (is_fault) {
                target_ = parser_.request().target;
                co_await refuse(handler_.malformed(parser_.refusal_status(), progress.error().text, target_, door_));
            }
            co_return false;
        }
        if (*progress == RequestParser::Progress::complete) {
            co_return co_await answer(parser_.take());
        }
        if (*progress == RequestParser::Progress::head) {
            begin_exchange();
            if (auto refusal = handler_.refusal(parser_.request(), door_, request_id_)) {
                co_await refuse(std::move(*refusal));
                co_return false;
            }
            if (parser_.expects_continue()) {
                auto const parts = std::array{as_view("HTTP/1.1 100 Continue\r\n\r\n")};
                std::ignore = co_await send(parts);
            }
        }
        if (patience() != stage) {
            stage = patience();
            deadline = env_.deadline_in(stage);
        }
    }
}

void Connection::begin_exchange()
{
    auto const& head = parser_.request();
    request_id_ = new_request_id();
    target_ = head.target;
    common_headers_ = handler_.common_headers(head, door_, request_id_);
    keep_alive_ = head.keep_alive;
    framing_ = head.is_http_1_1 ? Framing::chunked : Framing::close;
    without_body_ = head.method == "HEAD";
    begun_ = false;
    finished_ = false;
}

Task<bool> Connection::answer(Request request)
{
    auto failed = false;
    auto const cancellation = co_await asio::this_coro::cancellation_state;
    try {
        co_await handler_.serve(std::move(request), *this);
    } catch (std::exception const& error) {
        if (cancellation.cancelled() != asio::cancellation_type::none) {
            throw;  // the client has gone, or the server stops
        }
        log::error("a request failed", {{"request", request_id_}, {"reason", error.what()}});
        failed = true;
    }
    if (!begun_) {
        auto const why = failed ? "the request failed inside the daemon; its log says why" : "the request was not answered";
        auto const sent = co_await respond(handler_.malformed(500, why, target_, door_));
        co_return sent.has_value() && keep_alive_;
    }
    co_return finished_ && keep_alive_ && framing_ != Framing::close;
}

/// Answers and closes without reading the rest; takes in what is under way, so that the answer is not lost to a reset.
Task<> Connection::refuse(Response response)
{
    keep_alive_ = false;
    if (request_id_.empty() || begun_) {
        request_id_ = new_request_id();
        common_headers_.clear();  // those of the request before
    }
    begun_ = false;
    if (auto const sent = co_await respond(std::move(response)); !sent) {
        co_return;
    }
    if (auto const closed = co_await socket_->close_write(); !closed) {
        co_return;
    }
    auto const deadline = env_.deadline_in(linger);
    auto const over = Alarm(env_, deadline.at(), [this] { changed_.notify(); });
    std::size_t discarded = 0;
    while (!ended_ && discarded < max_discarded_bytes && !deadline.passed(env_.now())) {
        discarded += unread_.size();
        unread_.clear();
        changed_.notify();
        co_await changed_.wait();
    }
}

Task<Result<void>> Connection::send(std::span<ByteView const> parts)
{
    auto const stalled = Alarm(env_, env_.now() + limits_.write, [this] { socket_->reset(); });
    co_return co_await socket_->write_gathered(parts);
}

void Connection::add_common(Response& response) const
{
    response.headers.push_back({"x-request-id", request_id_});
    response.headers.insert(response.headers.end(), common_headers_.begin(), common_headers_.end());
}

Task<Result<void>> Connection::respond(Response response)
{
    PLEXUS_ASSERT(!begun_);
    begun_ = true;
    add_common(response);
    auto const head = head_text(response, Framing::length, keep_alive_);
    auto const body = without_body_ ? ByteView{} : as_view(response.body);
    auto const parts = std::array{as_view(head), body};
    auto sent = co_await send(parts);
    framing_ = Framing::length;
    finished_ = sent.has_value();
    co_return sent;
}

Task<Result<void>> Connection::start(Response head)
{
    PLEXUS_ASSERT(!begun_);
    begun_ = true;
    add_common(head);
    auto const text = head_text(head, framing_, keep_alive_);
    auto const parts = std::array{as_view(text)};
    co_return co_await send(parts);
}

Task<Result<void>> Connection::write(std::string_view piece)
{
    PLEXUS_ASSERT(begun_ && !finished_);
    if (piece.empty() || without_body_) {
        co_return Result<void>{};
    }
    if (framing_ == Framing::close) {
        auto const parts = std::array{as_view(piece)};
        co_return co_await send(parts);
    }
    auto const size = fmt::format("{:x}\r\n", piece.size());
    auto const parts = std::array{as_view(size), as_view(piece), as_view("\r\n")};
    co_return co_await send(parts);
}

Task<Result<void>> Connection::finish()
{
    PLEXUS_ASSERT(begun_ && !finished_);
    finished_ = true;
    if (framing_ == Framing::close || without_body_) {
        co_return Result<void>{};
    }
    auto const parts = std::array{as_view("0\r\n\r\n")};
    co_return co_await send(parts);
}

}  // namespace

struct HttpServer::State {
    State(Env& env_used, Handler& handler_used, HttpLimits limits_used)
        : env(env_used), handler(handler_used), limits(limits_used), tasks(env_used.executor())
    {
    }

    Task<> accept_all(std::shared_ptr<Acceptor> acceptor, Door door);
    Task<> serve_one(std::unique_ptr<Socket> socket, Door door, bool has_room);

    Env& env;
    Handler& handler;
    HttpLimits limits;
    std::size_t connections = 0;
    std::vector<std::shared_ptr<Acceptor>> acceptors;
    TaskScope tasks;
};

HttpServer::HttpServer(Env& env, Handler& handler, HttpLimits limits)
    : state_(std::make_unique<State>(env, handler, limits))
{
}

HttpServer::~HttpServer() = default;

void HttpServer::serve(std::unique_ptr<Acceptor> acceptor, Door door)
{
    auto const shared = std::shared_ptr<Acceptor>(std::move(acceptor));
    state_->acceptors.push_back(shared);
    state_->tasks.spawn("accept api connections", state_->accept_all(shared, door));
}

std::size_t HttpServer::connections() const
{
    return state_->connections;
}

Task<> HttpServer::State::accept_all(std::shared_ptr<Acceptor> acceptor, Door door)
{
    for (;;) {
        auto socket = co_await acceptor->accept();
        if (!socket && socket.error().kind == ErrorKind::closed) {
            co_return;
        }
        if (!socket) {
            log::warning("an api connection was not accepted", {{"reason", socket.error().text}});
            co_await sleep_for(env, accept_pause);
            continue;
        }
        auto const has_room = connections < limits.connections;
        tasks.spawn("api connection", serve_one(std::move(*socket), door, has_room));
    }
}

Task<> HttpServer::State::serve_one(std::unique_ptr<Socket> socket, Door door, bool has_room)
{
    struct Count {
        explicit Count(std::size_t& counted) : number(counted) { ++number; }
        ~Count() { --number; }
        std::size_t& number;
    };
    auto const count = Count(connections);
    auto connection = Connection(env, handler, limits, std::move(socket), door);
    if (has_room) {
        co_await connection.run();
    } else {
        co_await connection.turn_away();
    }
}

Task<> HttpServer::stop()
{
    for (auto const& acceptor : state_->acceptors) {
        acceptor->close();
    }
    co_await state_->tasks.join();
    state_->acceptors.clear();
}

}  // namespace plexus::api
