#pragma once

#include <optional>

#include "crypto/secret.h"

namespace plexus::crypto {

/// One side of a CPace exchange: two sides that know the same short password get the same strong key, and one that does not
/// has a single guess for each exchange. Whoever listens learns nothing that a guess could be tried against.
///
/// The suite is CPACE-RISTR255-SHA512 in the initiator-responder setting. Spec: draft-irtf-cfrg-cpace, sections 6 and 7.2.
class Cpace {
public:
    static constexpr std::size_t share_size = 32;

    /// What both sides must see alike.
    struct Context {
        Bytes channel;  ///< who the two are
        Bytes session;  ///< unique, of both sides
    };

    /// `random` are 32 bytes of Env randomness, for this exchange alone.
    Cpace(ByteView password, Context const& context, Secret32 random);

    /// What this side sends.
    ByteView share() const { return share_; }

    /// The key, from the shares of both in the order of the protocol; one of them is this side's.
    /// Errors: `malformed` if the other's share is no element of the group, or the neutral one: end the exchange then.
    Result<Secret64> key(ByteView initiator_share, ByteView initiator_data, ByteView responder_share,
                         ByteView responder_data) const;

private:
    Bytes session_;
    Secret32 scalar_;
    std::array<std::byte, share_size> share_{};
};

}  // namespace plexus::crypto
