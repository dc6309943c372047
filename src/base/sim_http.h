#pragma once

#include <map>

#include "base/env.h"

namespace plexus::sim {

/// What a server of the simulation holds at one address, and what goes wrong there.
struct SimPage {
    Bytes body{};
    int status = 200;
    std::vector<HttpField> fields{};  ///< lower case; an "etag" also decides about If-Range
    bool has_ranges = true;           ///< answers Range with 206
    bool shifts_ranges = false;       ///< answers 206 with another range than was asked for
    std::optional<std::size_t> cut_after{};  ///< breaks off after so many bytes of an answer
    std::size_t piece_bytes = 64 << 10;
    Duration delay = std::chrono::milliseconds(20);  ///< before the head and each piece
};

/// The web as one device sees it: addresses and what is there. Anything else is an unknown host.
class SimHttp final : public HttpClient {
public:
    explicit SimHttp(Env& env) : env_(env) {}

    void put(std::string url, SimPage page) { pages_[std::move(url)] = std::move(page); }
    SimPage& page(std::string const& url) { return pages_.at(url); }
    /// All that was asked, in order.
    std::vector<HttpRequest> const& requests() const { return requests_; }

    std::unique_ptr<HttpTransfer> start(HttpRequest request) override;

private:
    Env& env_;
    std::map<std::string, SimPage> pages_;
    std::vector<HttpRequest> requests_;
};

}  // namespace plexus::sim
