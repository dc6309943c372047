#pragma once

#include <vector>

#include "api/json_fields.h"
#include "api/services.h"

namespace plexus::api {

inline constexpr std::size_t max_prompts = 128;
inline constexpr std::size_t max_completions = 128;  ///< prompts times `n`
inline constexpr std::size_t max_tasks_bytes = 64 << 20;  ///< of all bodies of one request

/// A legacy completion request that has been checked at the edge.
struct CompletionRequest {
    std::string model;
    bool stream = false;
    bool include_usage = false;
    /// One task a choice: for the first prompt `n` of them, then for the second, and so on. Infill if there is a suffix.
    std::vector<InferenceTask> tasks;
    std::size_t choices_of_prompt = 1;
    /// With `echo`: what each choice begins with; empty else.
    std::vector<std::string> echoes;
};

/// Checks the types and ranges of the fields that we know; unknown fields pass.
std::expected<CompletionRequest, Problem> parse_completion_request(std::string_view body);

}  // namespace plexus::api
