#include "stream/compute_devices.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"

namespace plexus::stream {

namespace {

constexpr std::size_t max_text_bytes = 128;
constexpr auto kinds = std::array{std::pair(DeviceKind::discrete, std::string_view("discrete")),
                                  std::pair(DeviceKind::integrated, std::string_view("integrated")),
                                  std::pair(DeviceKind::unknown, std::string_view("unknown")),
                                  std::pair(DeviceKind::software, std::string_view("software"))};

bool is_plain(char letter)
{
    return letter >= ' ' && letter <= '~';
}

bool is_plain_text(std::string_view text)
{
    return text.size() <= max_text_bytes && std::ranges::all_of(text, is_plain);
}

std::string plain(std::string_view text)
{
    auto kept = std::string(text);
    std::erase_if(kept, [](char letter) { return !is_plain(letter); });
    kept.resize(std::min(kept.size(), max_text_bytes));
    return kept;
}

/// What stands before the first space of `text`; takes it and the space away.
std::string_view take_word(std::string_view& text)
{
    auto const end = std::min(text.find(' '), text.size());
    auto const word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

/// The value of the next line, which must begin with `word`.
Result<std::string> take_value(std::string_view& text, std::string_view word)
{
    auto line = take_line(text);
    if (take_word(line) != word || !is_plain_text(line)) {
        return fail(ErrorKind::malformed, "what the engine says of its devices cannot be read");
    }
    return std::string(line);
}

std::optional<DeviceKind> kind_from(std::string_view name)
{
    auto const found = std::ranges::find(kinds, name, [](auto const& item) { return item.second; });
    return found == kinds.end() ? std::nullopt : std::optional(found->first);
}

Result<ComputeDevice> parse_device(std::string_view line)
{
    auto const word = take_word(line);
    auto const kind = kind_from(take_word(line));
    auto const number = take_word(line);
    auto device = ComputeDevice{.name = std::string(line), .kind = kind.value_or(DeviceKind::unknown)};
    auto const [end, error] = std::from_chars(number.data(), number.data() + number.size(), device.memory_bytes);
    auto const is_number = error == std::errc{} && end == number.data() + number.size();
    if (word != "device" || !kind || !is_number || line.empty() || !is_plain_text(line)) {
        return fail(ErrorKind::malformed, "a device that the engine tells of cannot be read");
    }
    return device;
}

}  // namespace

ComputeDevice const* ComputeDevices::find(std::string_view name) const
{
    auto const found = std::ranges::find(devices, name, &ComputeDevice::name);
    return found == devices.end() ? nullptr : &*found;
}

std::string_view to_string(DeviceKind kind)
{
    return std::ranges::find(kinds, kind, [](auto const& item) { return item.first; })->second;
}

std::string to_text(ComputeDevices const& found)
{
    auto text = fmt::format("backend {}\nproblem {}\n", plain(found.backend), plain(found.problem));
    auto count = std::size_t{0};
    for (auto const& device : found.devices) {
        auto const name = plain(device.name);
        if (!name.empty() && ++count <= max_compute_devices) {
            text += fmt::format("device {} {} {}\n", to_string(device.kind), device.memory_bytes, name);
        }
    }
    return text;
}

Result<ComputeDevices> parse_compute_devices(std::string_view text)
{
    if (text.size() > max_compute_devices_bytes) {
        return fail(ErrorKind::too_large, "a list of devices of {} bytes", text.size());
    }
    if (!text.ends_with('\n')) {
        return fail(ErrorKind::malformed, "the list of devices is cut off");
    }
    auto backend = take_value(text, "backend");
    auto problem = take_value(text, "problem");
    if (!backend || !problem) {
        return std::unexpected(backend ? problem.error() : backend.error());
    }
    auto found = ComputeDevices{.backend = std::move(*backend), .problem = std::move(*problem)};
    while (!text.empty()) {
        auto device = parse_device(take_line(text));
        if (!device) {
            return std::unexpected(device.error());
        }
        if (found.devices.size() == max_compute_devices) {
            return fail(ErrorKind::too_large, "the engine tells of more than {} devices", max_compute_devices);
        }
        found.devices.push_back(std::move(*device));
    }
    return found;
}

}  // namespace plexus::stream
