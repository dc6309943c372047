#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plexus {

/// The candidate that `word` was probably meant to be, for "did you mean"; empty if none is near.
std::string nearest(std::string_view word, std::vector<std::string> const& candidates);

}  // namespace plexus
