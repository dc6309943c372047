#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/layers.h"

namespace plexus::sandbox {

/// How much of the sandbox stands.
enum class Grade : char {
    whole = 'A',  ///< every wall; the control group only where the daemon may make one
    doors = 'B',  ///< every wall, with the doors that a GPU needs; only in engines that were asked to use one
    weak = 'C',   ///< a wall is missing that this system refuses; runs only if the owner allows it
};

/// What an engine proved before it read anything. Sent to the daemon as lines `word value`.
struct Report {
    std::vector<Layer> standing{};
    std::vector<Layer> missing{};
    std::vector<Door> doors{};
    std::uint32_t probes = 0;  ///< attempts that were made, and failed as they must
    std::uint64_t digest = 0;  ///< FNV-1a of what was attempted; the same for the same attempts

    Grade grade() const;
    bool operator==(Report const&) const = default;
};

/// An engine that tried less proves nothing.
inline constexpr std::uint32_t least_probes = 60;
inline constexpr std::size_t max_report_bytes = 4096;

std::string to_text(Report const& report);

/// What an engine said, if it is good enough. `with_gpu`: it was asked to use one, so it may have doors.
/// Errors: `malformed` (another form, an unknown wall or door, a wall named twice or not at all, a door named twice),
/// `too_large`, `not_allowed` (fewer than least_probes, doors that nobody asked for).
Result<Report> parse_report(std::string_view text, bool with_gpu = false);

}  // namespace plexus::sandbox
