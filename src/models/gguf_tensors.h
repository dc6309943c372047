#pragma once

#include <set>

#include "models/gguf.h"
#include "models/gguf_reader.h"

namespace plexus::models {

/// What the list of tensors says in sum.
struct GgufTensors {
    std::uint64_t parameters = 0;
    std::uint64_t weight_bytes = 0;
    std::string quantisation{};   ///< the type that most weight bytes have
    std::uint64_t data_end = 0;   ///< of the last tensor, behind the begin of the data
};

/// Reads the list of tensors: types that a model may have, whole blocks, no overflow, and one behind the other without
/// gap or overlap, as ggml wants them. Errors: `malformed`, `too_large`, `io`.
Result<GgufTensors> read_tensors(GgufReader& reader, std::uint64_t count, std::uint64_t alignment);

}  // namespace plexus::models
