#pragma once

#include <memory>

#include "api/http_message.h"
#include "base/bytes.h"

namespace plexus::api {

inline constexpr std::size_t max_head_bytes = 16 << 10;
inline constexpr std::size_t max_body_bytes = 8 << 20;

/// Turns received bytes into HTTP/1.1 and 1.0 requests, one after another. Does no I/O and keeps no clock.
///
/// What follows a request stays buffered for the next, so pipelined requests are not lost. After an error the parser
/// is spent: answer with `refusal_status()` and close the connection. Spec: RFC 9112, with these refusals on top:
/// a target that does not begin with "/", two Host fields, a version other than 1.0 and 1.1.
class RequestParser {
public:
    enum class Progress {
        need_more,  ///< push more bytes
        head,       ///< the head is whole, `request()` has no body yet; comes once a request
        complete,   ///< the request is whole; take it
    };

    RequestParser();
    ~RequestParser();
    RequestParser(RequestParser&&) noexcept;

    /// Copies `received`. Call `advance` until it needs more before pushing again, to keep the buffer small.
    void push(ByteView received);

    /// Errors: `malformed`; `too_large` for a head over max_head_bytes or a body over max_body_bytes.
    Result<Progress> advance();

    Request const& request() const;
    /// Gives the complete request away and starts with the next one.
    Request take();

    /// True from `head` on if the client waits for "100 Continue" before it sends the body, and none of it came yet.
    bool expects_continue() const;

    /// True while nothing of the next request has arrived.
    bool is_idle() const;
    /// True between `head` and `complete`.
    bool is_in_body() const;

    /// HTTP status for the error that `advance` gave.
    int refusal_status() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::api
