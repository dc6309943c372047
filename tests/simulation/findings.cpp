#include "simulation/findings.h"

#include "base/log.h"

namespace plexus::simulation {

void Findings::add(std::string_view invariant, std::string detail)
{
    log::error("a promise does not hold", {{"promise", invariant}, {"detail", detail}});
    if (list_.size() < max_kept) {
        list_.push_back({std::string(invariant), std::move(detail), elapsed()});
    }
}

}  // namespace plexus::simulation
