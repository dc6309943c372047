#pragma once

#include "node/config.h"

namespace plexus::node {

struct DaemonOptions {
    Paths paths;
    Config config;
};

/// Why the daemon cannot work, in the three lines that every error of Plexus has.
struct Failure {
    std::string what;
    std::string why;
    std::string next;
};

/// Runs this device until it is told to end: by a signal, or through the API.
/// The failure that kept it from starting, or nothing after an orderly end.
std::optional<Failure> run_daemon(DaemonOptions options);

}  // namespace plexus::node
