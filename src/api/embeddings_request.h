#pragma once

#include "api/json_fields.h"
#include "api/services.h"

namespace plexus::api {

inline constexpr std::size_t max_embedded_inputs = 2048;
inline constexpr std::size_t inputs_of_task = 64;  ///< more inputs are several tasks, so that others get their turn

/// An embeddings request that has been checked at the edge.
struct EmbeddingsRequest {
    std::string model;
    bool as_base64 = false;
    std::optional<std::size_t> dimensions{};
    /// Of inputs_of_task inputs each, in order.
    std::vector<InferenceTask> tasks{};
};

/// Checks the fields that we know; unknown ones are dropped.
std::expected<EmbeddingsRequest, Problem> parse_embeddings_request(std::string_view body);

}  // namespace plexus::api
