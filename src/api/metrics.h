#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "api/services.h"

namespace plexus::api {

/// Counts what the API did, and writes it as Prometheus text (exposition format 0.0.4). Keeps no clock.
class Metrics {
public:
    /// `route` is one of our own patterns, never a client's text.
    void count_request(std::string_view route, int status);
    void count_task(std::string_view outcome);
    void observe_first_chunk(Duration after);
    void count_chunk() { ++chunks_; }
    /// An answer went on elsewhere in its middle.
    void count_move() { ++moves_; }

    std::string text(StatusView const& status, std::size_t devices, std::size_t connections) const;

private:
    std::map<std::pair<std::string, int>, std::uint64_t> requests_;
    std::map<std::string, std::uint64_t> tasks_;
    std::uint64_t chunks_ = 0;
    std::uint64_t moves_ = 0;
    std::uint64_t first_chunks_ = 0;
    double first_chunk_seconds_ = 0;
};

/// Memory of the engines, as it was predicted and as it is used. Names are those of our own models.
std::string engine_metrics(EnginesView const& engines);

}  // namespace plexus::api
