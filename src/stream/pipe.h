#pragma once

#include <memory>

#include "base/byte_stream.h"

namespace plexus::stream {

/// Two connected streams in memory. Each direction holds at most `limit` bytes; a writer waits for room.
std::pair<std::unique_ptr<ByteStream>, std::unique_ptr<ByteStream>> make_pipe(Executor executor,
                                                                              std::size_t limit = 64 * 1024);

}  // namespace plexus::stream
