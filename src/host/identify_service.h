#pragma once

#include <functional>
#include <memory>

#include "host/address_book.h"
#include "host/connection.h"
#include "host/identify.h"

namespace plexus::host {

/// Identify and identify push with every member: tells what this host is, and learns what the other side is.
///
/// What is learnt goes into the connection (agent, protocols) and the address book. libp2p-wire.md section 17.
class IdentifyService {
public:
    /// What this host says of itself now; the observed address is added.
    using Describe = std::function<Identify()>;

    /// `env` and `book` must outlive the service.
    IdentifyService(Env& env, AddressBook& book, Describe describe);

    /// Handler of identify: answers.
    Task<> serve(std::unique_ptr<Stream> stream);
    /// Handler of identify push: learns.
    Task<> serve_push(std::unique_ptr<Stream> stream);

    /// Asks the other side who it is, in a task of `connection`.
    void ask(std::shared_ptr<Connection> const& connection);
    /// Tells a member that understands it, in a moment, that this host has changed, in a task of `connection`.
    void push(std::shared_ptr<Connection> const& connection);

private:
    Identify describe_to(Connection const& connection) const;
    Task<> ask_now(std::shared_ptr<Connection> connection);
    Task<> push_soon(std::shared_ptr<Connection> connection);
    void learn(Connection& connection, Identify const& identify);

    Env& env_;
    AddressBook& book_;
    Describe describe_;
};

}  // namespace plexus::host
