#include "crypto/secret.h"

#include <sodium.h>

namespace plexus::crypto {

void wipe(MutableByteView bytes)
{
    sodium_memzero(bytes.data(), bytes.size());
}

}  // namespace plexus::crypto
