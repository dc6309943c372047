#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace plexus::bench {

/// Counts of times in nanoseconds, each kept to within 1.6 %. Takes the same memory however many there are.
class Histogram {
public:
    void add(std::int64_t nanoseconds)
    {
        auto const value = static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0));
        ++counts_[place_of(value)];
        ++total_;
        sum_ += static_cast<double>(value);
        most_ = std::max(most_, value);
    }

    std::uint64_t total() const { return total_; }
    double most() const { return static_cast<double>(most_); }
    double mean() const { return total_ == 0 ? 0 : sum_ / static_cast<double>(total_); }

    /// The time that `share` (0 to 1) of all stay under; 0 if there are none.
    double quantile(double share) const
    {
        auto const wanted = share * static_cast<double>(total_);
        auto seen = 0.0;
        for (std::size_t place = 0; place < counts_.size(); ++place) {
            seen += static_cast<double>(counts_[place]);
            if (seen >= wanted && seen > 0) {
                return middle_of(place);
            }
        }
        return 0;
    }

private:
    static constexpr unsigned step_bits = 6;  // steps a power of two: 64
    static constexpr std::uint64_t steps = 1 << step_bits;

    static std::size_t place_of(std::uint64_t value)
    {
        if (value < steps) {
            return value;
        }
        auto const shift = static_cast<unsigned>(std::bit_width(value)) - step_bits - 1;
        return (std::size_t{shift} << step_bits) + (value >> shift);
    }

    static double middle_of(std::size_t place)
    {
        if (place < steps) {
            return static_cast<double>(place);
        }
        auto const shift = (place >> step_bits) - 1;
        auto const least = (place - (shift << step_bits)) << shift;
        return static_cast<double>(least) + static_cast<double>(std::uint64_t{1} << shift) / 2;
    }

    std::array<std::uint64_t, (64 - step_bits + 1) * steps> counts_{};
    std::uint64_t total_ = 0;
    double sum_ = 0;
    std::uint64_t most_ = 0;
};

}  // namespace plexus::bench
