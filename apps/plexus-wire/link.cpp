#include "plexus-wire/link.h"

#include <algorithm>

namespace plexus::wire {

void Link::push(ByteView packet, Time now)
{
    auto const lost = options_.loss > 0 && std::bernoulli_distribution(options_.loss)(random_);
    if (cut_ || lost || waiting_bytes(now) + packet.size() > options_.queue_bytes) {
        ++dropped_;
        return;
    }
    free_at_ = std::max(free_at_, now);
    if (options_.bits_per_second > 0) {
        free_at_ += Duration(packet.size() * 8 * 1'000'000'000 / options_.bits_per_second);
    }
    packets_.push_back({.due = free_at_ + options_.delay, .bytes = to_bytes(packet)});
}

/// Of the backlog in time, which is what a queue in front of a link of this rate would hold.
std::size_t Link::waiting_bytes(Time now) const
{
    if (options_.bits_per_second == 0 || free_at_ <= now) {
        return 0;
    }
    auto const backlog = std::chrono::duration<double>(free_at_ - now).count();
    return static_cast<std::size_t>(backlog * static_cast<double>(options_.bits_per_second) / 8);
}

std::optional<Time> Link::next() const
{
    return packets_.empty() ? std::nullopt : std::optional(packets_.front().due);
}

std::optional<Bytes> Link::pop(Time now)
{
    if (packets_.empty() || packets_.front().due > now) {
        return std::nullopt;
    }
    auto bytes = std::move(packets_.front().bytes);
    packets_.pop_front();
    return bytes;
}

void Link::cut(bool is_cut)
{
    cut_ = is_cut;
    if (cut_) {
        dropped_ += packets_.size();
        packets_.clear();
    }
}

}  // namespace plexus::wire
