#pragma once

// What the parts of Membership share. Not for other modules.

#include "membership/membership.h"
#include "stream/messages.h"

namespace plexus::membership {

inline constexpr auto step_limit = std::chrono::seconds(10);  ///< for one exchange or pairing

/// Adds what somebody who has `known` lacks.
void add_missing(SyncMessage& message, Log const& log, std::vector<EntryId> const& known);

Task<Result<PairingMessage>> read_pairing(Env& env, host::Stream& stream, std::size_t limit, Deadline deadline);
Task<Result<void>> write_pairing(Env& env, host::Stream& stream, PairingMessage const& message, Deadline deadline);

}  // namespace plexus::membership
