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

/// The next message, as `decode` reads it. Errors: those of stream::read_message and of `decode`, `timed_out`.
template <typename Decode>
Task<std::invoke_result_t<Decode, ByteView>> read_decoded(Env& env, host::Stream& stream, std::size_t limit,
                                                          Deadline deadline, Decode decode)
{
    auto const bytes = co_await with_deadline(env, deadline, stream::read_message(stream, limit));
    if (!bytes) {
        co_return std::unexpected(bytes.error());
    }
    co_return decode(*bytes);
}

/// Writes what `encode` makes of `message`, which is borrowed until the await ends.
template <typename Message>
Task<Result<void>> write_encoded(Env& env, host::Stream& stream, Message const& message, Deadline deadline)
{
    auto const bytes = encode(message);
    co_return co_await with_deadline(env, deadline, stream::write_message(stream, bytes));
}

}  // namespace plexus::membership
