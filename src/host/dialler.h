#pragma once

#include <map>
#include <memory>
#include <vector>

#include "host/address_book.h"
#include "host/upgrade.h"

namespace plexus::host {

/// Reaches peers: tries their addresses a few at a time and gives away the first connection that is secured.
///
/// All who want one peer for one use at the same time wait for one dial.
class Dialler {
public:
    /// What is borrowed must outlive the dialler; `tasks` runs the attempts. An address that answered goes to the front
    /// of `book`.
    Dialler(Env& env, crypto::KeyPair const& identity, Gater& gater, AddressBook& book, TaskScope& tasks,
            TakeSecured take);

    /// Joins the dial to `peer` that is under way, else tries `addresses` in their order: the next one after a moment,
    /// or as soon as those before have failed. Waits until one was taken, all have failed, or time is up.
    /// Whether there is a connection now is for the caller to see; the error tells why, if there is none.
    Task<Error> dial(PeerId peer, std::vector<Multiaddr> addresses, ConnectionUse use, Deadline deadline);

private:
    struct Dial;
    struct Attempt;

    std::shared_ptr<Dial> start(PeerId const& peer, std::vector<Multiaddr> const& addresses, ConnectionUse use,
                                Deadline deadline);
    std::vector<Endpoint> allowed(PeerId const& peer, std::vector<Multiaddr> const& addresses);
    Task<> attempt_all(std::shared_ptr<Dial> dial, PeerId peer, std::vector<Endpoint> addresses, Deadline deadline);
    Task<> attempt(std::shared_ptr<Dial> dial, PeerId peer, Endpoint to, Deadline deadline);
    Task<Result<void>> reach(PeerId peer, Endpoint to, Deadline deadline, Dial& dial);
    void end_attempt(Dial& dial, PeerId const& peer);

    Env& env_;
    crypto::KeyPair const& identity_;
    Gater& gater_;
    AddressBook& book_;
    TaskScope& tasks_;
    TakeSecured take_;
    std::map<std::pair<PeerId, ConnectionUse>, std::shared_ptr<Dial>> dials_;
};

}  // namespace plexus::host
