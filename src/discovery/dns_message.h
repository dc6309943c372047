#pragma once

#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "base/bytes.h"

namespace plexus::discovery {

namespace asio = boost::asio;

inline constexpr std::size_t max_dns_message_bytes = 9000;  // RFC 6762, section 17
inline constexpr std::size_t max_dns_entries = 512;         // questions and records of one message
inline constexpr std::size_t max_dns_name_bytes = 255;
inline constexpr std::size_t max_dns_text_bytes = 255;

namespace dns_type {
inline constexpr std::uint16_t a = 1;
inline constexpr std::uint16_t ptr = 12;
inline constexpr std::uint16_t txt = 16;
inline constexpr std::uint16_t aaaa = 28;
inline constexpr std::uint16_t srv = 33;
inline constexpr std::uint16_t any = 255;
}  // namespace dns_type

/// Names are lower case, labels joined by dots, without the last dot; dots and backslashes within a label have a
/// backslash before them.
struct DnsQuestion {
    std::string name;
    std::uint16_t type = 0;

    bool operator==(DnsQuestion const&) const = default;
};

/// A record. Those that are read are of two kinds, where a name leads (PTR) and texts (TXT); the others are written only.
struct DnsRecord {
    std::string name;
    std::uint16_t type = 0;
    std::uint32_t ttl_seconds = 0;
    bool replaces_others = false;  ///< the cache-flush bit
    std::string target{};  ///< of PTR and SRV
    std::uint16_t port = 0;  ///< of SRV
    std::vector<std::string> texts{};  ///< of TXT, each of at most max_dns_text_bytes
    std::optional<asio::ip::address> address{};  ///< of A and AAAA

    bool operator==(DnsRecord const&) const = default;
};

/// A message of multicast DNS. Spec: RFC 1035 section 4, RFC 6762 section 18.
struct DnsMessage {
    bool is_response = false;
    std::vector<DnsQuestion> questions{};
    std::vector<DnsRecord> answers{};
    std::vector<DnsRecord> additionals{};

    bool operator==(DnsMessage const&) const = default;
};

/// Records of other kinds and classes are passed over; those of the authority section count as additional.
/// Errors: `malformed`, `too_large`.
Result<DnsMessage> parse_dns_message(ByteView bytes);

/// Without compression of names. Names and texts must be within their limits.
Bytes write_dns_message(DnsMessage const& message);

}  // namespace plexus::discovery
