#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace plexus::api {

inline constexpr std::size_t max_vector_numbers = 8 << 20;  ///< of all vectors of one answer

/// Puts the documents of embedding tasks together to the one that the client wants.
class EmbeddingsAnswer {
public:
    /// The document of the next task. Vectors keep the order of the inputs over all documents.
    /// Errors: `malformed`; `too_large` over max_vector_numbers.
    Result<void> add(std::string_view document);

    /// Cuts each vector to its first numbers and makes its length 1 again. Errors: `malformed` if they have fewer.
    Result<void> shorten(std::size_t dimensions);

    /// OpenAI's list of embeddings. base64 is that of little-endian 32-bit floats.
    std::string finish(std::string_view model, bool as_base64) const;

private:
    std::vector<std::vector<float>> vectors_;
    std::size_t numbers_ = 0;
    std::int64_t tokens_ = 0;
};

}  // namespace plexus::api
