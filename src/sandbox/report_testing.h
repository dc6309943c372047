#pragma once

#include <algorithm>

#include "sandbox/report.h"

namespace plexus::sandbox {

/// What an engine proves that misses no walls but `missing`.
inline Report report_without(std::vector<Layer> missing)
{
    auto report = Report{.missing = std::move(missing), .probes = 184, .digest = 0xabc};
    for (auto const& known : layer_names) {
        if (std::ranges::find(report.missing, known.layer) == report.missing.end()) {
            report.standing.push_back(known.layer);
        }
    }
    return report;
}

/// What an engine proves that uses a GPU.
inline Report report_with(std::vector<Door> doors)
{
    auto report = report_without({});
    report.doors = std::move(doors);
    return report;
}

/// What a scripted engine says before it is ready.
inline std::string proven_walls()
{
    return to_text(report_without({}));
}

}  // namespace plexus::sandbox
