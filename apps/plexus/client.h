#pragma once

#include <filesystem>
#include <functional>

#include <boost/json/value.hpp>

#include "base/env.h"
#include "outcome.h"

namespace plexus::cli {

struct Reply {
    int status = 0;
    std::map<std::string, std::string> headers;  ///< lower-case names
    std::string body;                            ///< empty if it was streamed

    bool is_good() const { return status >= 200 && status < 300; }
};

/// Talks HTTP/1.1 to the daemon over its Unix socket, one connection a request.
///
/// Failures: `no_daemon` if nobody answers on the socket; otherwise what the daemon said.
class Client {
public:
    Client(Env& env, std::filesystem::path socket, Duration timeout) : env_(env), socket_(std::move(socket)), timeout_(timeout)
    {
    }

    std::filesystem::path const& socket() const { return socket_; }

    /// The JSON of a good answer.
    Task<Outcome<boost::json::value>> get(std::string target);
    Task<Outcome<boost::json::value>> post(std::string target, boost::json::value body);
    Task<Outcome<boost::json::value>> remove(std::string target);

    /// Gives the pieces of a good answer's body to `piece` as they come, after `head` has seen the rest.
    Task<Outcome<Reply>> stream(std::string target, std::string body, std::function<void(Reply const&)> head,
                                std::function<void(std::string_view)> piece);

private:
    Task<Outcome<boost::json::value>> call(std::string method, std::string target, std::string body);
    Task<Outcome<Reply>> exchange(std::string request, std::function<void(Reply const&)> head,
                                  std::function<void(std::string_view)> piece);

    Env& env_;
    std::filesystem::path socket_;
    Duration timeout_;
};

/// What an answer that is not good says.
Failure failure_of(Reply const& reply);

/// For a part of a target; a name of a model may hold "/".
std::string percent_encoded(std::string_view text);

/// "what: why" as two lines.
void separate_reason(Failure& failure);

}  // namespace plexus::cli
