#pragma once

#include "api/problem.h"
#include "api/services.h"

namespace plexus::api {

/// How one API writes the answer of a task. Does no I/O: it is fed chunks and gives bytes. One object an answer.
///
/// A streamed answer is: begin, then routed, waiting, keep_alive and chunk in any order, at last end or failure. An
/// empty piece is not sent. An answer that is not streamed is: chunk for each chunk with the pieces dropped, then whole.
class Dialect {
public:
    virtual ~Dialect() = default;

    /// The content type of a stream.
    virtual std::string_view stream_type() const { return "text/event-stream; charset=utf-8"; }

    /// Where the task runs; told as soon as it is known, before `routed`.
    virtual void set_route(Route const&) {}

    /// Fields of the head of every answer, beside those that all answers have.
    virtual std::vector<Header> headers() const { return {}; }

    /// What comes before all else, once the head has been sent.
    virtual std::string begin() { return {}; }
    virtual std::string routed(Route const& route) { return fmt::format(": plexus-route {}\n\n", route.device); }
    /// Nothing yet, for this reason.
    virtual std::string waiting(std::string_view reason) { return fmt::format(": {}\n\n", reason); }
    virtual std::string keep_alive() { return ": keep-alive\n\n"; }

    /// The next chunk of the task, as TaskKind says. Errors: `malformed`, `too_large`: the answer cannot be written.
    virtual Result<std::string> chunk(std::string chunk) = 0;
    /// Of several tasks one has ended; what follows is of the next. Errors: as chunk.
    virtual Result<std::string> next_task() { return std::string{}; }

    /// The last piece of a stream that went well.
    virtual std::string end() = 0;
    /// The last piece of a stream that broke off.
    virtual std::string failure(Problem const& problem) = 0;

    /// The answer to a client that did not want a stream.
    virtual Response whole() = 0;
    /// The answer before anything was sent.
    virtual Response refusal(Problem const& problem) { return openai_error(problem); }
};

}  // namespace plexus::api
