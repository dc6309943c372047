#pragma once

#include <string>
#include <vector>

#include "models/gguf.h"

namespace plexus::models {

/// What stands in front of the tensor data of a GGUF file, found but not judged: for joining shards and for what people
/// are shown. Whether a file may be loaded is for check_gguf() to say.
struct GgufHeader {
    struct Value {
        std::string key;
        std::uint32_t type = 0;
        std::uint64_t offset = 0;  ///< in the file, of the value behind its type
        std::uint64_t length = 0;
    };
    struct Tensor {
        std::string name;
        std::vector<std::uint64_t> dimensions;
        std::uint32_t type = 0;
        std::uint64_t offset = 0;  ///< within the data
    };

    std::uint32_t version = 0;
    std::uint64_t alignment = 32;
    std::vector<Value> values;
    std::vector<Tensor> tensors;
    std::uint64_t data_begin = 0;
    std::uint64_t data_length = 0;  ///< to the end of the file

    Value const* find(std::string_view key) const;
    /// A text of at most `limit` bytes; empty if there is none.
    std::string text(File const& file, std::string_view key, std::size_t limit) const;
    /// A whole number of any width that is not negative.
    std::optional<std::uint64_t> number(File const& file, std::string_view key) const;
};

/// Reads with memory for names and places only, within the limits of gguf.h.
/// Errors: `malformed`, `too_large`, `io`. Spec: ggml docs/gguf.md, versions 2 and 3, little-endian.
Result<GgufHeader> read_gguf_header(File const& file);

}  // namespace plexus::models
