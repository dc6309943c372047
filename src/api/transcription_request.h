#pragma once

#include "api/multipart.h"
#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_sound_bytes = 6'000'000;  ///< as base64 they still fit a task

/// A transcription request that has been checked at the edge.
struct TranscriptionRequest {
    std::string model;
    bool as_text = false;  ///< the words alone, no JSON
    bool stream = false;
    std::string task_body;
};

/// From the form of the request. Unknown fields are dropped.
std::expected<TranscriptionRequest, Problem> parse_transcription_request(std::string_view content_type,
                                                                         std::string_view body);

}  // namespace plexus::api
