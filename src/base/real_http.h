#pragma once

#include "base/env.h"

namespace plexus {

/// HTTP through libcurl, on the loop; names are resolved on threads of curl's own. Must not outlive `context`.
class RealHttp final : public HttpClient {
public:
    explicit RealHttp(asio::io_context& context);
    ~RealHttp() override;

    std::unique_ptr<HttpTransfer> start(HttpRequest request) override;

private:
    struct State;

    asio::io_context& context_;
    std::unique_ptr<State> state_;
};

}  // namespace plexus
