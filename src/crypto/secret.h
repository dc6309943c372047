#pragma once

#include <array>

#include "base/bytes.h"

namespace plexus::crypto {

/// 32 bytes that are wiped when they go. No text form, no comparison.
class Secret32 {
public:
    static constexpr std::size_t size = 32;

    Secret32() = default;
    explicit Secret32(std::span<std::byte const, size> bytes);
    Secret32(Secret32 const&) = default;
    Secret32& operator=(Secret32 const&) = default;
    ~Secret32();

    ByteView bytes() const { return value_; }
    MutableByteView writable() { return value_; }

private:
    std::array<std::byte, size> value_{};
};

}  // namespace plexus::crypto
