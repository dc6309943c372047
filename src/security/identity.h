#pragma once

#include "crypto/keys.h"
#include "multiformats/peer_id.h"

namespace plexus::security {

/// The peer id of a public key: holds the key itself if it is short, else its digest.
multiformats::PeerId peer_id_of(crypto::PublicKey const& key);

}  // namespace plexus::security
