#pragma once

#include "base/bytes.h"

namespace plexus {

/// Reads numbers and byte ranges from borrowed bytes and never past their end. Sets no memory aside.
///
/// After an error the position is unchanged.
class BoundedReader {
public:
    explicit BoundedReader(ByteView bytes) : bytes_(bytes) {}

    std::size_t remaining() const { return bytes_.size() - position_; }
    std::size_t position() const { return position_; }
    bool at_end() const { return remaining() == 0; }

    /// The next `count` bytes, borrowed. Errors: `malformed` if fewer are left.
    Result<ByteView> take(std::size_t count);

    /// All that is left, borrowed.
    ByteView take_rest();

    template <typename T>
    Result<T> take_big_endian()
    {
        auto bytes = take(sizeof(T));
        if (!bytes) {
            return std::unexpected(bytes.error());
        }
        return load_big_endian<T>(bytes->data());
    }

    template <typename T>
    Result<T> take_little_endian()
    {
        auto bytes = take(sizeof(T));
        if (!bytes) {
            return std::unexpected(bytes.error());
        }
        return load_little_endian<T>(bytes->data());
    }

private:
    ByteView bytes_;
    std::size_t position_ = 0;
};

}  // namespace plexus
