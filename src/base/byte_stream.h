#pragma once

#include "base/bytes.h"
#include "base/task.h"

namespace plexus {

/// An ordered, reliable stream of bytes in both directions: a socket, a secure channel, a muxed stream, a pipe.
///
/// One read and one write may be pending at a time. Cancelling an operation leaves the stream fit for `reset` only.
class ByteStream {
public:
    virtual ~ByteStream() = default;

    /// Reads at least one byte into `buffer` (not empty), which is borrowed until the await ends.
    /// Zero means that the other side ended its direction in order. Errors: `closed` after a reset.
    virtual Task<Result<std::size_t>> read_some(MutableByteView buffer) = 0;

    /// Writes all of `bytes`, borrowed until the await ends; waits while the other side does not take them.
    /// Errors: `closed`.
    virtual Task<Result<void>> write(ByteView bytes) = 0;

    /// Ends our direction in order, after all that was written.
    virtual Task<Result<void>> close_write() = 0;

    /// Ends both directions at once; pending operations fail with `closed`. May be called at any time, again too.
    virtual void reset() = 0;
};

}  // namespace plexus
