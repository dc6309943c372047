#include "catalog/hardware.h"

#include <charconv>

#include "base/text.h"

namespace plexus::catalog {

namespace {

constexpr std::size_t read_chunk = 64 * 1024;

// Cautious figures of ordinary processors, for estimates only.
constexpr double memory_bytes_per_second_per_core = 6e9;
constexpr double most_memory_bytes_per_second = 48e9;
constexpr double operations_per_second_per_core = 40e9;
constexpr double operations_per_parameter = 2;
constexpr double bytes_per_parameter = 0.6;  // of a file whose parameters are not known

std::string_view trimmed(std::string_view text)
{
    auto const first = text.find_first_not_of(" \t\r");
    return first == std::string_view::npos ? std::string_view{}
                                           : text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

/// Calls `take(key, value)` for every line of the form "key : value".
template <typename Take>
void for_each_line(std::string_view text, Take take)
{
    while (!text.empty()) {
        auto const line = take_line(text);
        if (auto const colon = line.find(':'); colon != std::string_view::npos) {
            take(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
        }
    }
}

std::string printable(std::string_view text)
{
    auto kept = std::string(text.substr(0, max_text_bytes));
    std::erase_if(kept, [](char character) { return character < ' ' || character > '~'; });
    return kept;
}

std::uint64_t kibibytes(std::string_view value)
{
    std::uint64_t count = 0;
    auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
    return error == std::errc{} && count <= UINT64_MAX / 1024 ? count * 1024 : 0;
}

/// Files of /proc tell no size: read until the end.
std::string read_proc_file(Disk& disk, std::filesystem::path const& path)
{
    auto const file = disk.open(path);
    auto text = std::string{};
    if (!file) {
        return text;
    }
    while (text.size() < max_proc_file_bytes) {
        auto const have = text.size();
        text.resize(have + read_chunk);
        auto const count = (*file)->read_at(have, std::as_writable_bytes(std::span(text).subspan(have)));
        text.resize(have + count.value_or(0));
        if (!count || *count == 0) {
            break;
        }
    }
    return text;
}

}  // namespace

Processor parse_cpuinfo(std::string_view text)
{
    auto processor = Processor{};
    auto board = std::string{};
    for_each_line(text, [&](std::string_view key, std::string_view value) {
        if (key == "processor" && !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; })) {
            ++processor.cores;
        } else if ((key == "model name" || key == "Processor" || key == "cpu model") && processor.name.empty()) {
            processor.name = printable(value);
        } else if ((key == "Model" || key == "Hardware" || key == "cpu") && board.empty()) {
            board = printable(value);
        }
    });
    if (processor.name.empty()) {
        processor.name = std::move(board);
    }
    return processor;
}

Memory parse_meminfo(std::string_view text)
{
    auto memory = Memory{};
    auto free = std::uint64_t{0};
    auto available = std::optional<std::uint64_t>{};
    for_each_line(text, [&](std::string_view key, std::string_view value) {
        if (key == "MemTotal") {
            memory.total_bytes = kibibytes(value);
        } else if (key == "MemAvailable") {
            available = kibibytes(value);
        } else if (key == "MemFree") {
            free = kibibytes(value);
        }
    });
    memory.available_bytes = std::min(available.value_or(free), memory.total_bytes);
    return memory;
}

Hardware probe_hardware(Disk& disk)
{
    auto const processor = parse_cpuinfo(read_proc_file(disk, "/proc/cpuinfo"));
    auto const memory = probe_memory(disk);
    return {.processor = processor.name,
            .cores = processor.cores,
            .memory_bytes = memory.total_bytes,
            .free_memory_bytes = memory.available_bytes};
}

Memory probe_memory(Disk& disk)
{
    return parse_meminfo(read_proc_file(disk, "/proc/meminfo"));
}

Speed estimate_speed(Hardware const& hardware, Model const& model)
{
    if (model.is_external) {
        return {};  // nobody knows what it runs on
    }
    auto const cores = std::max<double>(hardware.cores, 1);
    auto const bandwidth = std::min(cores * memory_bytes_per_second_per_core, most_memory_bytes_per_second);
    auto const size = std::max<double>(static_cast<double>(model.size_bytes), 1);
    auto const parameters = model.parameters > 0 ? static_cast<double>(model.parameters) : size / bytes_per_parameter;
    auto const operations = std::max(parameters, 1.0) * operations_per_parameter;
    return {.prefill = {cores * operations_per_second_per_core / operations, 0}, .decode = {bandwidth / size, 0}};
}

}  // namespace plexus::catalog
