#pragma once

// What the parts of Membership share. Not for other modules.

#include "membership/membership.h"
#include "stream/messages.h"

namespace plexus::membership {

inline constexpr auto step_limit = std::chrono::seconds(10);  ///< for one exchange or pairing

/// Adds what somebody who has `known` lacks.
void add_missing(SyncMessage& message, Log const& log, std::vector<EntryId> const& known);

/// Who is being joined with, while that lasts.
class Joining {
public:
    Joining(std::optional<PeerId>& place, PeerId device) : place_(place) { place_ = std::move(device); }
    Joining(Joining const&) = delete;
    ~Joining() { place_.reset(); }

private:
    std::optional<PeerId>& place_;
};

Task<Result<CodeMessage>> read_code(Env& env, host::Stream& stream, Deadline deadline);
Task<Result<void>> write_code(Env& env, host::Stream& stream, CodeMessage const& message, Deadline deadline);

Task<Result<PairingMessage>> read_pairing(Env& env, host::Stream& stream, std::size_t limit, Deadline deadline);
Task<Result<void>> write_pairing(Env& env, host::Stream& stream, PairingMessage const& message, Deadline deadline);

}  // namespace plexus::membership
