#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plexus::api {

/// A header field. Names of requests are lower case.
struct Header {
    std::string name;
    std::string value;

    bool operator==(Header const&) const = default;
};

/// A request, or its head while the body is still empty.
struct Request {
    std::string method;
    std::string target;  ///< as sent: path and query
    std::vector<Header> headers;
    std::string body;
    bool keep_alive = true;
    bool is_http_1_1 = true;

    /// The value of the first field with that lower-case name.
    std::optional<std::string_view> header(std::string_view name) const;
    std::size_t count(std::string_view name) const;

    /// The target without its query, not decoded.
    std::string_view path() const;
    /// What follows the question mark.
    std::string_view query() const;
};

struct Response {
    int status = 200;
    std::vector<Header> headers;
    std::string body;
};

/// "Not Found" for 404; "Status" for codes this program never sends.
std::string_view reason_of(int status);

/// Replaces %XX; nothing for a broken escape.
std::optional<std::string> percent_decoded(std::string_view text);

/// How the end of a body is told to the client.
enum class Framing {
    length,   ///< content-length
    chunked,  ///< transfer-encoding: chunked
    close,    ///< the connection ends (HTTP/1.0 streams)
};

/// Status line and header fields up to the empty line. Field values lose CR, LF and NUL.
std::string head_text(Response const& response, Framing framing, bool keep_alive);

}  // namespace plexus::api
