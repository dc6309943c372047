#pragma once

#include <algorithm>
#include <memory>

#include <boost/asio/ip/address.hpp>

namespace plexus::host {

/// Where a connection comes from, as far as limits are concerned: an IPv4 address or an IPv6 /56, of which one attacker
/// has all addresses.
inline boost::asio::ip::address source_of(boost::asio::ip::address const& address)
{
    constexpr auto network_bytes = 7;
    if (!address.is_v6()) {
        return address;
    }
    auto const whole = address.to_v6();
    if (whole.is_v4_mapped()) {
        return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, whole);
    }
    auto bytes = whole.to_bytes();
    std::fill(bytes.begin() + network_bytes, bytes.end(), static_cast<unsigned char>(0));
    return boost::asio::ip::address_v6(bytes);
}

/// What some connections hold together, and the most that they may: those of one peer within those of the host.
class Scope {
public:
    Scope(std::size_t most_streams, std::uint64_t most_unread, std::shared_ptr<Scope> around = {})
        : most_streams_(most_streams), most_unread_(most_unread), around_(std::move(around))
    {
    }

    bool has_room_for_stream() const
    {
        return streams_ < most_streams_ && (!around_ || around_->has_room_for_stream());
    }

    /// For `bytes` more that have arrived and that nobody has read yet.
    bool has_room_for(std::uint64_t bytes) const
    {
        return unread_ + bytes <= most_unread_ && (!around_ || around_->has_room_for(bytes));
    }

    void add_stream()
    {
        for_each([](Scope& scope) { ++scope.streams_; });
    }
    void remove_stream()
    {
        for_each([](Scope& scope) { --scope.streams_; });
    }
    void add_unread(std::uint64_t bytes)
    {
        for_each([bytes](Scope& scope) { scope.unread_ += bytes; });
    }
    void remove_unread(std::uint64_t bytes)
    {
        for_each([bytes](Scope& scope) { scope.unread_ -= bytes; });
    }

private:
    template <typename Change>
    void for_each(Change change)
    {
        for (auto* scope = this; scope != nullptr; scope = scope->around_.get()) {
            change(*scope);
        }
    }

    std::size_t most_streams_;
    std::uint64_t most_unread_;
    std::shared_ptr<Scope> around_;
    std::size_t streams_ = 0;
    std::uint64_t unread_ = 0;
};

}  // namespace plexus::host
