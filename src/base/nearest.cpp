#include "base/nearest.h"

#include <algorithm>
#include <numeric>

namespace plexus {

namespace {

constexpr std::size_t max_word_bytes = 64;

/// Levenshtein distance.
std::size_t distance(std::string_view left, std::string_view right)
{
    auto row = std::vector<std::size_t>(right.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= left.size(); ++i) {
        auto diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= right.size(); ++j) {
            auto const changed = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

std::string nearest(std::string_view word, std::vector<std::string> const& candidates)
{
    if (word.size() > max_word_bytes) {
        return {};
    }
    auto best = std::string{};
    auto best_distance = std::max<std::size_t>(word.size() / 2, 1) + 1;
    for (auto const& candidate : candidates) {
        auto const apart = distance(word, candidate);
        if (apart < best_distance) {
            best = candidate;
            best_distance = apart;
        }
    }
    return best;
}

}  // namespace plexus
