// What an engine says of its walls: what is accepted is written the same way again, names every wall once, and none as
// missing that must stand; doors are only for those that were asked to use a GPU.
#include <algorithm>
#include <cstdint>

#include "sandbox/report.h"

using namespace plexus;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = std::string_view(reinterpret_cast<char const*>(data), size);
    auto const report = sandbox::parse_report(text, true);
    PLEXUS_ASSERT(sandbox::parse_report(text).has_value() == (report && report->doors.empty()));
    if (report) {
        PLEXUS_ASSERT(report->standing.size() + report->missing.size() == sandbox::layer_names.size());
        PLEXUS_ASSERT(report->probes >= sandbox::least_probes);
        PLEXUS_ASSERT(std::ranges::none_of(report->missing,
                                           [](auto const layer) { return !sandbox::describe(layer).may_be_missing; }));
        PLEXUS_ASSERT(sandbox::parse_report(sandbox::to_text(*report), true) == report);
    }
    return 0;
}
