#pragma once

#include "inference/inference.h"

namespace plexus::inference {

/// Cuts an event stream into its data parts; empty ones and "[DONE]" are dropped. Takes time by the bytes given, however
/// they are cut. Spec: WHATWG HTML, server-sent events.
class EventParser {
public:
    /// The data of each event that is complete now.
    std::vector<std::string> push(std::string_view text);
    std::size_t held() const { return pending_.size(); }

private:
    std::string pending_;
};

/// The error that an event holds instead of a chunk.
std::optional<Error> error_of_event(std::string_view event);

/// The error of an answer with a status other than 200 and its body.
Error error_of_status(std::uint32_t status, std::string_view body);

/// Takes usage and timings out of a chunk that has them.
void read_timings(std::string_view chunk, Timings& timings);

}  // namespace plexus::inference
