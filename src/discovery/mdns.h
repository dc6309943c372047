#pragma once

#include <optional>
#include <vector>

#include "base/env.h"
#include "multiformats/multiaddr.h"

namespace plexus::discovery {

using multiformats::Multiaddr;
using multiformats::PeerId;

inline constexpr auto mdns_service = "_p2p._udp.local";
inline constexpr std::uint16_t mdns_port = 5353;
inline constexpr auto mdns_lifetime = std::chrono::minutes(
    10);  ///< of what is said here; longer than the longest pause
inline constexpr auto first_query_pause = std::chrono::milliseconds(500);
inline constexpr auto longest_query_pause = std::chrono::minutes(5);
inline constexpr auto least_answer_pause = std::chrono::seconds(1);
inline constexpr std::size_t max_sightings = 64;  ///< of one message
inline constexpr std::size_t max_addresses_of_neighbour = 8;

/// What a message says of one peer. Anybody on the link can say anything: a hint, to be proven by dialling.
struct Sighting {
    PeerId peer;
    std::vector<Multiaddr> addresses{};  ///< IP and TCP, without /p2p, no loopback; at most max_addresses_of_neighbour
    std::string label{};  ///< the name of that peer's run
    Duration lifetime{};  ///< zero: it leaves
};

/// libp2p's mDNS on one link: what to send and when, and what was heard. Does no I/O.
///
/// Asks at once, then after 0.5, 1, 2, 4, ... seconds up to 5 minutes. Tells where this device is at once, a second later,
/// when that changes, and when asked, but at most once a second. Everybody on the link hears its peer id.
/// Spec: libp2p/specs discovery/mdns.md; RFC 6762 sections 5, 6, 8 and 10; libp2p-wire.md section 23.
class Mdns {
public:
    /// `label` is the name of this run, not told apart by upper case. `random` must outlive this.
    Mdns(PeerId self, std::string label, Random& random, Time now);

    /// Where this device can be reached on this link, best first. What does not fit into one packet is not told.
    void set_addresses(std::vector<Multiaddr> const& addresses, Time now);

    /// Asks again now, as at the start: somebody is looked for.
    void ask_again(Time now);

    /// When `due` has something next.
    Time next_due() const { return std::min(query_at_, answer_at_); }
    /// The messages to send now.
    std::vector<Bytes> due(Time now);

    /// Sightings of others; of this device only those that another run says, which has a copy of its key.
    /// Errors: those of parse_dns_message.
    Result<std::vector<Sighting>> take(ByteView message, Time now);

    /// Tells the others that this device leaves; nothing if it was never told where it is.
    std::optional<Bytes> farewell() const;

    /// A name for a run: 32 random letters and digits.
    static std::string new_label(Random& random);

private:
    void answer_soon(Time now);
    Bytes answer(std::uint32_t ttl_seconds) const;
    Duration spread();

    PeerId self_;
    std::string label_;
    Random& random_;
    std::vector<std::string> texts_;
    std::optional<Endpoint> endpoint_;  // the best
    Time query_at_;
    Duration query_pause_ = first_query_pause;
    Time answer_at_ = Time::max();
    std::optional<Time> answered_at_;
    unsigned announcements_ = 0;  // still to follow
};

}  // namespace plexus::discovery
