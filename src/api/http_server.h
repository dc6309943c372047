#pragma once

#include "api/http_message.h"
#include "base/env.h"

namespace plexus::api {

/// The way a client came in.
enum class Door {
    loopback,      ///< TCP on 127.0.0.1 or ::1
    ollama,        ///< TCP on 127.0.0.1 or ::1, on the port where programs look for Ollama
    local_socket,  ///< the Unix socket, which only the owner can open
};

/// The answering half of one request. Either `respond` once, or `start`, `write` any number of times, `finish`.
///
/// Errors of all: `closed` when the client has gone, `timed_out` when it stopped taking bytes.
class Exchange {
public:
    virtual ~Exchange() = default;

    virtual Door door() const = 0;
    /// Sent as x-request-id with every answer.
    virtual std::string const& request_id() const = 0;
    /// True once an answer has begun.
    virtual bool has_begun() const = 0;

    virtual Task<Result<void>> respond(Response response) = 0;

    /// Begins a body of unknown length; `head.body` is ignored.
    virtual Task<Result<void>> start(Response head) = 0;
    /// Sends one piece at once.
    virtual Task<Result<void>> write(std::string_view piece) = 0;
    virtual Task<Result<void>> finish() = 0;
};

/// What stands behind the server.
class Handler {
public:
    virtual ~Handler() = default;

    /// Called with the head before a byte of the body is kept. A response refuses the request and ends the connection.
    virtual std::optional<Response> refusal(Request const& head, Door door, std::string const& request_id) = 0;

    /// Header fields for every answer to this request.
    virtual std::vector<Header> common_headers(Request const& head, Door door, std::string const& request_id) = 0;

    /// Answers the request. Cancelled when the client goes away.
    virtual Task<> serve(Request request, Exchange& exchange) = 0;

    /// The body for a request that is not HTTP or over a limit. `target` is empty if it came to none.
    virtual Response malformed(int status, std::string_view why, std::string const& target, Door door) = 0;
};

struct HttpLimits {
    std::size_t connections = 1024;
    Duration head = std::chrono::seconds(10);  ///< from the first byte of a request to the end of its head
    Duration body = std::chrono::seconds(60);
    Duration idle = std::chrono::seconds(120);  ///< between requests of one connection
    Duration write = std::chrono::seconds(30);  ///< for the client to take one piece
    /// A client that has ended its direction may still get an answer that is done within this time.
    Duration half_closed = std::chrono::milliseconds(300);
};

/// Serves HTTP/1.1 on acceptors: keep-alive, pipelining, chunked bodies, "100 Continue", server-sent events.
///
/// `env` and `handler` must outlive it. `stop()` must be awaited before destruction.
class HttpServer {
public:
    HttpServer(Env& env, Handler& handler, HttpLimits limits = {});
    HttpServer(HttpServer const&) = delete;
    ~HttpServer();

    void serve(std::unique_ptr<Acceptor> acceptor, Door door);

    std::size_t connections() const;

    /// Stops to listen, cancels every request and joins all tasks.
    Task<> stop();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::api
