#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/ip/address.hpp>

#include "base/result.h"

namespace plexus {

namespace asio = boost::asio;

inline constexpr std::size_t max_url_bytes = 4096;

/// An http or https address in one spelling, so that what was judged is what is asked.
///
/// User names and passwords are refused, fragments dropped. The host is lower case: letters, digits, '-', '_' and '.', or an
/// address. Where a name leads is for the one who connects to judge (HttpRequest::public_only).
/// Spec: RFC 3986, less than all of it.
struct Url {
    bool is_secure = true;  ///< https
    std::string host;  ///< without brackets
    std::uint16_t port = 443;
    std::string target;  ///< path and query, begins with '/'

    /// Errors: `malformed`, `too_large`.
    static Result<Url> parse(std::string_view text);
    /// What a `location` header of an answer from here means.
    Result<Url> resolve(std::string_view location) const;

    std::string text() const;
    /// Scheme, host and port are the same.
    bool has_same_origin(Url const& other) const;
    /// The last part of the path, without query, not decoded. May be empty.
    std::string_view file_name() const;
    /// The host if it is written as an address.
    std::optional<asio::ip::address> address() const;

    bool operator==(Url const&) const = default;
};

/// True for addresses of the public internet; false for those of this device, of private networks, links, tests,
/// multicast and for IPv4 within IPv6 whose inner address is not public. Spec: the IANA special-purpose registries.
bool is_public(asio::ip::address const& address);

}  // namespace plexus
