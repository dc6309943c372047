#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/task.h"
#include "base/time.h"

namespace plexus {

struct HttpField {
    std::string name;  ///< lower case in answers
    std::string value;

    bool operator==(HttpField const&) const = default;
};

/// What is asked of a server. Redirects are not followed: they are answers like others, for the caller to judge.
struct HttpRequest {
    std::string method = "GET";
    std::string url{};  ///< http or https; best made by Url
    std::vector<HttpField> fields{};
    std::string body{};
    /// The connection is refused if the address that the name was resolved to is not public (base/url.h). A proxy that the
    /// environment names is not held to it; what lies behind a proxy cannot be told.
    bool public_only = true;
    /// PEM file of authorities that are trusted beside those of the system. There is no way to trust everyone.
    std::filesystem::path authorities{};
    Duration connect_limit = std::chrono::seconds(20);
    /// Longest time without a byte, head included, counted in whole seconds; zero: no limit.
    Duration silence_limit = std::chrono::seconds(60);
};

struct HttpHead {
    int status = 0;
    std::vector<HttpField> fields{};

    /// The value of the first field of that lower-case name.
    std::optional<std::string_view> field(std::string_view name) const;
    /// The whole number that such a field is.
    std::optional<std::uint64_t> number(std::string_view name) const;
};

/// One request on its way. Destroying it cancels it. At most `max_waiting_bytes` of its body wait here; behind them the
/// server is made to wait, through TCP.
class HttpTransfer {
public:
    static constexpr std::size_t max_waiting_bytes = 1 << 20;
    static constexpr std::size_t max_head_bytes = 64 << 10;

    virtual ~HttpTransfer() = default;

    /// The head of the answer. Errors, also of `read`: `unavailable` (no such host, no way to it), `refused` (nobody
    /// listens there), `not_allowed` (its address is not public, or its certificate is not to be trusted), `timed_out`,
    /// `closed` (broken off), `malformed` (the request, or no HTTP), `too_large` (the head).
    virtual Task<Result<HttpHead>> head() = 0;

    /// What has arrived of the body, at once and without waiting for more; empty at its end.
    virtual Task<Result<Bytes>> read() = 0;
};

/// Asks HTTP/1.1 servers, over TLS where the address says so. Honours the variables https_proxy, http_proxy, all_proxy and
/// no_proxy of the environment.
class HttpClient {
public:
    virtual ~HttpClient() = default;
    /// Begins at once; what fails is told by the transfer.
    virtual std::unique_ptr<HttpTransfer> start(HttpRequest request) = 0;
};

/// The whole body of a small answer. Errors: those of the transfer; `too_large`.
Task<Result<std::string>> read_body(HttpTransfer& transfer, std::size_t limit);

}  // namespace plexus
