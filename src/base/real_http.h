#pragma once

#include "base/env.h"

namespace plexus {

/// HTTP through libcurl, on a thread of its own that starts with the first request. Must not outlive `context`.
class RealHttp final : public HttpClient {
public:
    explicit RealHttp(asio::io_context& context);
    ~RealHttp() override;

    std::unique_ptr<HttpTransfer> start(HttpRequest request) override;

private:
    class Worker;

    asio::io_context& context_;
    std::shared_ptr<Worker> worker_;
};

}  // namespace plexus
