#pragma once

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace plexus::crypto {

void wipe(MutableByteView bytes);

/// Bytes that are wiped when they go. No text form, no comparison.
template <std::size_t Size>
class Secret {
public:
    static constexpr std::size_t size = Size;

    Secret() = default;
    explicit Secret(std::span<std::byte const, size> bytes) { std::ranges::copy(bytes, value_.begin()); }
    Secret(Secret const&) = default;
    Secret& operator=(Secret const&) = default;
    ~Secret() { wipe(value_); }

    ByteView bytes() const { return value_; }
    MutableByteView writable() { return value_; }

private:
    std::array<std::byte, size> value_{};
};

using Secret32 = Secret<32>;
using Secret64 = Secret<64>;

}  // namespace plexus::crypto
