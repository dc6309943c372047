#include "inference/chat_events.h"

using namespace plexus;
using namespace plexus::inference;

namespace {

std::vector<Event> events_of(std::string_view text, std::size_t step)
{
    auto parser = EventParser{};
    auto events = std::vector<Event>{};
    auto given = std::size_t{0};
    for (std::size_t at = 0; at < text.size(); at += step) {
        auto const part = text.substr(at, step);
        given += part.size();
        for (auto& event : parser.push(part)) {
            events.push_back(std::move(event));
        }
        PLEXUS_ASSERT(parser.held() <= given);
    }
    return events;
}

}  // namespace

/// However the text is split, the same events come out; each may be asked for its error and its timings.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    auto const events = events_of(text, std::max<std::size_t>(size, 1));
    PLEXUS_ASSERT(events == events_of(text, 1) && events == events_of(text, 5));
    for (auto const& event : events) {
        PLEXUS_ASSERT(!event.data.empty() && event.data != "[DONE]");
        if (auto const tokens = tokens_of_id(event.id)) {
            PLEXUS_ASSERT(tokens->size() <= max_part_tokens && tokens->empty() == event.id.empty());
        }
        auto timings = Timings{};
        read_timings(event.data, timings);
        if (auto const error = error_of_event(event.data)) {
            PLEXUS_ASSERT(!error->text.empty());
        }
    }
    PLEXUS_ASSERT(!error_of_status(500, text).text.empty());
    return 0;
}
