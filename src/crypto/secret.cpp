#include "crypto/secret.h"

#include <sodium.h>

namespace plexus::crypto {

Secret32::Secret32(std::span<std::byte const, size> bytes)
{
    std::memcpy(value_.data(), bytes.data(), size);
}

Secret32::~Secret32()
{
    sodium_memzero(value_.data(), value_.size());
}

}  // namespace plexus::crypto
