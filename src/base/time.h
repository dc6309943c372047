#pragma once

#include <chrono>

namespace plexus {

using Duration = std::chrono::nanoseconds;

/// The mesh's steady clock. Its zero has no meaning; only differences do. Comes from Env::now().
struct SteadyClock {
    using rep = Duration::rep;
    using period = Duration::period;
    using duration = Duration;
    using time_point = std::chrono::time_point<SteadyClock, Duration>;
    static constexpr bool is_steady = true;
};

using Time = SteadyClock::time_point;

/// Wall time in milliseconds since 1970, for what people and other devices read. May jump. Comes from Env::wall_now().
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

/// A point on the steady clock after which the caller no longer wants the result. Handed down, never restarted.
class Deadline {
public:
    explicit constexpr Deadline(Time at) : at_(at) {}

    static constexpr Deadline never() { return Deadline(Time::max()); }

    constexpr Time at() const { return at_; }
    constexpr bool is_never() const { return at_ == Time::max(); }
    constexpr bool passed(Time now) const { return now >= at_; }

    /// What is left at `now`, never negative.
    constexpr Duration remaining(Time now) const { return passed(now) ? Duration::zero() : at_ - now; }

    /// The nearer of both.
    constexpr Deadline earlier(Deadline other) const { return other.at_ < at_ ? other : *this; }

private:
    Time at_;
};

}  // namespace plexus
