#pragma once

#include "base/env.h"

namespace plexus {

/// Sockets of the operating system, on the loop.
class RealNetwork final : public Network {
public:
    explicit RealNetwork(asio::io_context& context) : context_(context) {}

    Task<Result<std::unique_ptr<Socket>>> connect(Endpoint to, Deadline deadline) override;
    Result<std::unique_ptr<Acceptor>> listen(Endpoint at) override;
    Result<std::unique_ptr<Acceptor>> listen_local(std::filesystem::path const& path) override;
    Task<Result<std::unique_ptr<Socket>>> connect_local(std::filesystem::path const& path) override;
    std::vector<InterfaceAddress> interface_addresses() override;
    Result<std::unique_ptr<InterfaceWatch>> watch_interfaces() override;
    Result<std::unique_ptr<GroupSocket>> join_group(Endpoint group, InterfaceAddress const& at) override;

private:
    asio::io_context& context_;
};

}  // namespace plexus
