#include "sandbox/report.h"

#include <algorithm>
#include <charconv>

namespace plexus::sandbox {

namespace {

template <typename Named>
std::string joined(std::vector<Named> const& list)
{
    auto text = std::string{};
    for (auto const each : list) {
        text += fmt::format("{}{}", text.empty() ? "" : ",", to_string(each));
    }
    return text;
}

/// The value of the next line, which must begin with `word`.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view word)
{
    auto const end = text.find('\n');
    if (end == std::string_view::npos || !text.starts_with(word) || text.substr(word.size(), 1) != " ") {
        return std::nullopt;
    }
    auto const value = text.substr(word.size() + 1, end - word.size() - 1);
    text.remove_prefix(end + 1);
    return value;
}

/// A list of at most `most` names, divided by commas.
template <typename Named>
std::optional<std::vector<Named>> take_list(std::string_view& text, std::string_view word, std::size_t most,
                                            std::optional<Named> (*named)(std::string_view))
{
    auto rest = take_line(text, word);
    if (!rest) {
        return std::nullopt;
    }
    auto list = std::vector<Named>{};
    while (!rest->empty()) {
        auto const comma = std::min(rest->find(','), rest->size());
        auto const each = named(rest->substr(0, comma));
        if (!each || list.size() == most) {
            return std::nullopt;
        }
        list.push_back(*each);
        rest->remove_prefix(std::min(comma + 1, rest->size()));
    }
    return list;
}

template <typename Number>
std::optional<Number> take_number(std::string_view& text, std::string_view word, int base)
{
    auto const value = take_line(text, word);
    auto number = Number{};
    if (!value) {
        return std::nullopt;
    }
    auto const [end, error] = std::from_chars(value->data(), value->data() + value->size(), number, base);
    return error == std::errc{} && end == value->data() + value->size() ? std::optional(number) : std::nullopt;
}

bool names_each_once(Report const& report)
{
    auto seen = std::array<bool, layer_names.size()>{};
    auto count = std::size_t{0};
    for (auto const* layers : {&report.standing, &report.missing}) {
        for (auto const layer : *layers) {
            count += std::exchange(seen[static_cast<std::size_t>(layer)], true) ? 0 : 1;
        }
    }
    return count == layer_names.size() && report.standing.size() + report.missing.size() == count;
}

bool names_a_door_twice(std::vector<Door> doors)
{
    std::ranges::sort(doors);
    return std::ranges::adjacent_find(doors) != doors.end();
}

}  // namespace

Grade Report::grade() const
{
    auto const counts = [](Layer layer) { return layer != Layer::group; };
    if (std::ranges::any_of(missing, counts)) {
        return Grade::weak;
    }
    return doors.empty() ? Grade::whole : Grade::doors;
}

std::string to_text(Report const& report)
{
    return fmt::format("walls {}\nmissing {}\ndoors {}\nprobes {}\ndigest {:016x}\n", joined(report.standing),
                       joined(report.missing), joined(report.doors), report.probes, report.digest);
}

Result<Report> parse_report(std::string_view text, bool with_gpu)
{
    if (text.size() > max_report_bytes) {
        return fail(ErrorKind::too_large, "a report of walls of {} bytes", text.size());
    }
    auto const standing = take_list(text, "walls", layer_names.size(), layer_from);
    auto const missing = take_list(text, "missing", layer_names.size(), layer_from);
    auto const doors = take_list(text, "doors", door_names.size(), door_from);
    auto const probes = take_number<std::uint32_t>(text, "probes", 10);
    auto const digest = take_number<std::uint64_t>(text, "digest", 16);
    if (!standing || !missing || !doors || !probes || !digest || !text.empty()) {
        return fail(ErrorKind::malformed, "what the engine says of its walls cannot be read");
    }
    auto report = Report{
        .standing = *standing, .missing = *missing, .doors = *doors, .probes = *probes, .digest = *digest};
    auto const may_be_missing = [](Layer layer) { return describe(layer).may_be_missing; };
    if (!names_each_once(report) || !std::ranges::all_of(report.missing, may_be_missing)) {
        return fail(ErrorKind::malformed, "the engine does not say of every wall whether it stands");
    }
    if (names_a_door_twice(report.doors)) {
        return fail(ErrorKind::malformed, "the engine names a door twice");
    }
    if (!report.doors.empty() && !with_gpu) {
        return fail(ErrorKind::not_allowed, "the engine has doors that only a GPU needs, and uses none: {}",
                    joined(report.doors));
    }
    if (report.probes < least_probes) {
        return fail(ErrorKind::not_allowed, "the engine tried its walls {} times only", report.probes);
    }
    return report;
}

}  // namespace plexus::sandbox
