#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace plexus::fuzz {

/// A GGUF file taken apart, as far as it can be read. Writing it makes counts, lengths and offsets right again, so that a
/// change of one thing stays a change of one thing.
struct GgufParts {
    struct Entry {
        std::string key;
        std::uint32_t type = 0;
        Bytes value;
    };
    struct Tensor {
        std::string name;
        std::vector<std::uint64_t> dimensions;
        std::uint32_t type = 0;
    };

    std::vector<Entry> entries{};
    std::vector<Tensor> tensors{};

    static GgufParts read(ByteView bytes);
    /// The data of the tensors is zeros; nothing if it would have more than `limit` bytes.
    std::optional<Bytes> write(std::size_t limit) const;

    /// One random change: a value, a key, a token, a dimension, a type, a tensor more or less.
    void change(std::minstd_rand& random);
};

}  // namespace plexus::fuzz
