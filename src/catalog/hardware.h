#pragma once

#include "base/env.h"
#include "catalog/snapshot.h"

namespace plexus::catalog {

inline constexpr std::size_t max_proc_file_bytes = 4 * 1024 * 1024;

struct Processor {
    std::string name;  ///< printable, at most max_text_bytes; empty if not told
    std::uint32_t cores = 0;

    bool operator==(Processor const&) const = default;
};

struct Memory {
    std::uint64_t total_bytes = 0;
    std::uint64_t available_bytes = 0;

    bool operator==(Memory const&) const = default;
};

/// Of the text of /proc/cpuinfo (x86, ARM and others). What cannot be read stays empty. Spec: Linux proc(5).
Processor parse_cpuinfo(std::string_view text);

/// Of the text of /proc/meminfo.
Memory parse_meminfo(std::string_view text);

/// Both, from /proc of this device. What cannot be read stays empty.
Hardware probe_hardware(Disk& disk);
Memory probe_memory(Disk& disk);

/// What a model should reach before anything was measured: decoding bound by memory, prefill by arithmetic.
Speed estimate_speed(Hardware const& hardware, Model const& model);

}  // namespace plexus::catalog
