#pragma once

#include <expected>
#include <string>

#include "base/result.h"
#include "base/task.h"

namespace plexus::cli {

/// Exit codes; `plexus help exit-codes` lists them.
enum class ExitCode {
    done = 0,
    failed = 1,
    usage = 2,
    no_daemon = 3,
    not_found = 4,
    not_allowed = 5,
    no_device = 6,
    network = 7,
    timed_out = 8,
    conflict = 9,
    partly_done = 10,
    interrupted = 130,
};

/// Why a command failed, in the three lines a person reads, and the code a script reads.
struct Failure {
    ExitCode exit = ExitCode::failed;
    std::string code;  ///< the same as in the HTTP API
    std::string what;
    std::string why;
    std::string next;
};

template <typename T = void>
using Outcome = std::expected<T, Failure>;

inline std::unexpected<Failure> failed(ExitCode exit, std::string code, std::string what, std::string why = "",
                                       std::string next = "")
{
    return std::unexpected(Failure{exit, std::move(code), std::move(what), std::move(why), std::move(next)});
}

}  // namespace plexus::cli
