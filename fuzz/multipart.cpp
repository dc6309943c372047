#include "api/transcription_request.h"
#include "base/bytes.h"

using namespace plexus;
using namespace plexus::api;

/// The first line is the content type, the rest the form. Parts lie within the body, one behind another.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    auto const line = text.substr(0, text.find('\n'));
    auto const body = text.substr(std::min(text.size(), line.size() + 1));
    if (auto const boundary = form_boundary(line)) {
        if (auto const parts = parse_form(body, *boundary)) {
            PLEXUS_ASSERT(parts->size() <= max_form_parts);
            auto const* place = body.data();
            for (auto const& part : *parts) {
                PLEXUS_ASSERT(part.body.data() >= place &&
                              part.body.data() + part.body.size() <= body.data() + body.size());
                PLEXUS_ASSERT(part.body.find("\r\n--" + *boundary) == std::string_view::npos);
                place = part.body.data() + part.body.size();
            }
        }
    }
    if (auto const request = parse_transcription_request(line, body)) {
        PLEXUS_ASSERT(parse_object(request->task_body).has_value());
    }
    return 0;
}
