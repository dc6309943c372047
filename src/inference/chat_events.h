#pragma once

#include "inference/inference.h"

namespace plexus::inference {

/// What an event says.
struct Event {
    std::string data{};
    std::string id{};

    bool operator==(Event const&) const = default;
};

/// Cuts an event stream into its events; those without data and "[DONE]" are dropped. Takes time by the bytes given, however
/// they are cut. Spec: WHATWG HTML, server-sent events, with line feeds alone; "error" lines of llama.cpp are data.
class EventParser {
public:
    /// Each event that is complete now.
    std::vector<Event> push(std::string_view text);
    std::size_t held() const { return pending_.size(); }

private:
    std::string pending_;
};

/// The tokens that an engine of ours tells as the id of an event: "12,7". Errors: `malformed`, more than max_part_tokens too.
Result<std::vector<std::uint32_t>> tokens_of_id(std::string_view id);

/// The error that the data of an event holds instead of a chunk.
std::optional<Error> error_of_event(std::string_view data);

/// The error of an answer with a status other than 200 and its body.
Error error_of_status(std::uint32_t status, std::string_view body);

/// Takes usage and timings out of a chunk that has them.
void read_timings(std::string_view chunk, Timings& timings);

}  // namespace plexus::inference
