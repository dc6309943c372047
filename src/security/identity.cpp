#include "security/identity.h"

#include "crypto/digest.h"

namespace plexus::security {

using multiformats::PeerId;

PeerId peer_id_of(crypto::PublicKey const& key)
{
    auto const encoded = key.encode();
    return encoded.size() <= PeerId::max_inline_key ? PeerId::from_public_key(encoded).value()
                                                    : PeerId::from_key_digest(crypto::sha256(encoded).bytes());
}

}  // namespace plexus::security
