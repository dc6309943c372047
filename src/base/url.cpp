#include "base/url.h"

#include <charconv>
#include <optional>

namespace plexus {

namespace {

constexpr std::uint16_t default_port(bool is_secure)
{
    return is_secure ? 443 : 80;
}

char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

std::string lower_case(std::string_view text)
{
    auto lowered = std::string(text);
    std::ranges::transform(lowered, lowered.begin(), lower);
    return lowered;
}

bool is_name_letter(char letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' || letter == '.' ||
           letter == '_';
}

bool is_host_name(std::string_view host)
{
    return !host.empty() && host.size() <= 253 && host.front() != '.' && host.front() != '-' &&
           std::ranges::all_of(host, is_name_letter);
}

bool is_target(std::string_view target)
{
    return target.starts_with('/') && std::ranges::all_of(target, [](char letter) {
               return letter > ' ' && letter < '\x7f' && letter != '"' && letter != '<' && letter != '>' &&
                      letter != '\\';
           });
}

std::optional<asio::ip::address> address_from(std::string const& host)
{
    auto code = boost::system::error_code{};
    auto const address = asio::ip::make_address(host, code);
    // A zone ("fe80::1%eth0") has no place in an address that travels.
    return code || host.contains('%') ? std::nullopt : std::optional(address);
}

std::optional<std::uint16_t> port_from(std::string_view text)
{
    auto port = std::uint16_t{0};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port > 0 ? std::optional(port) : std::nullopt;
}

/// Takes host and port of "host:port" or "[v6]:port".
bool read_authority(std::string_view authority, Url& url)
{
    auto rest = std::string_view{};
    if (authority.starts_with('[')) {
        auto const end = authority.find(']');
        if (end == std::string_view::npos) {
            return false;
        }
        auto const address = address_from(std::string(authority.substr(1, end - 1)));
        if (!address || !address->is_v6()) {
            return false;
        }
        url.host = address->to_string();
        rest = authority.substr(end + 1);
    } else {
        auto const colon = std::min(authority.find(':'), authority.size());
        url.host = lower_case(authority.substr(0, colon));
        rest = authority.substr(colon);
        if (!is_host_name(url.host)) {
            return false;
        }
    }
    auto const port = rest.starts_with(':') ? port_from(rest.substr(1)) : std::nullopt;
    url.port = port.value_or(url.port);
    return rest.empty() || port.has_value();
}

std::string_view without_fragment(std::string_view text)
{
    return text.substr(0, text.find('#'));
}

bool is_within(std::uint32_t address, std::uint32_t network, unsigned bits)
{
    return (address ^ network) >> (32 - bits) == 0;
}

bool is_public_v4(asio::ip::address_v4 const& address)
{
    struct Range {
        std::uint32_t network;
        unsigned bits;
    };
    static constexpr auto special = std::array{Range{0x00000000, 8},  Range{0x0a000000, 8},  Range{0x64400000, 10},
                                               Range{0x7f000000, 8},  Range{0xa9fe0000, 16}, Range{0xac100000, 12},
                                               Range{0xc0000000, 24}, Range{0xc0000200, 24}, Range{0xc0586300, 24},
                                               Range{0xc0a80000, 16}, Range{0xc6120000, 15}, Range{0xc6336400, 24},
                                               Range{0xcb007100, 24}, Range{0xe0000000, 3}};
    auto const value = address.to_uint();
    return std::ranges::none_of(special, [&](Range range) { return is_within(value, range.network, range.bits); });
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, 6to4, NAT64.
std::optional<asio::ip::address_v4> inner_v4(asio::ip::address_v6::bytes_type const& bytes)
{
    static constexpr auto nat64 = std::array<unsigned char, 12>{0, 0x64, 0xff, 0x9b};
    auto const at = [&](std::size_t start) {
        return asio::ip::address_v4({bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3]});
    };
    auto const is_zero = [](unsigned char value) { return value == 0; };
    auto const is_mapped = std::all_of(bytes.begin(), bytes.begin() + 10, is_zero) &&
                           ((bytes[10] == 0xff && bytes[11] == 0xff) || (bytes[10] == 0 && bytes[11] == 0));
    if (is_mapped || std::equal(nat64.begin(), nat64.end(), bytes.begin())) {
        return at(12);
    }
    return bytes[0] == 0x20 && bytes[1] == 0x02 ? std::optional(at(2)) : std::nullopt;
}

bool is_public_v6(asio::ip::address_v6 const& address)
{
    auto const bytes = address.to_bytes();
    if (auto const inner = inner_v4(bytes)) {
        return is_public_v4(*inner);
    }
    auto const is_global = (bytes[0] & 0xe0U) == 0x20;  // 2000::/3
    auto const is_protocol = bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] < 0x02;  // 2001::/23: Teredo and kin
    auto const is_example = (bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] == 0x0d && bytes[3] == 0xb8) ||
                            (bytes[0] == 0x3f && bytes[1] == 0xff && bytes[2] < 0x10);
    return is_global && !is_protocol && !is_example;
}

}  // namespace

Result<Url> Url::parse(std::string_view text)
{
    if (text.size() > max_url_bytes) {
        return fail(ErrorKind::too_large, "an address may have {} bytes, this one has {}", max_url_bytes, text.size());
    }
    auto const scheme_end = text.find("://");
    auto const scheme = lower_case(text.substr(0, scheme_end));
    if (scheme_end == std::string_view::npos || (scheme != "https" && scheme != "http")) {
        return fail(ErrorKind::malformed, "an address begins with https:// or http://");
    }
    auto url = Url{.is_secure = scheme == "https", .host = {}, .port = default_port(scheme == "https"), .target = {}};
    text.remove_prefix(scheme_end + 3);
    auto const authority_end = std::min(text.find_first_of("/?#"), text.size());
    if (!read_authority(text.substr(0, authority_end), url)) {
        return fail(ErrorKind::malformed, "the host of the address is not one that is asked");
    }
    auto const target = without_fragment(text.substr(authority_end));
    url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
    if (!is_target(url.target)) {
        return fail(ErrorKind::malformed, "the path of the address has letters that must be written as %XX");
    }
    return url;
}

Result<Url> Url::resolve(std::string_view location) const
{
    location = without_fragment(location);
    if (location.contains("://")) {
        return parse(location);
    }
    auto const origin = Url{.is_secure = is_secure, .host = host, .port = port, .target = {}}.text();
    if (location.starts_with("//")) {
        return parse((is_secure ? "https:" : "http:") + std::string(location));
    }
    if (location.starts_with('/')) {
        return parse(origin + std::string(location));
    }
    auto const path = std::string_view(target).substr(0, target.find('?'));
    return parse(origin + std::string(path.substr(0, path.rfind('/') + 1)) + std::string(location));
}

std::string Url::text() const
{
    auto const bracketed = host.contains(':') ? "[" + host + "]" : host;
    auto const port_text = port == default_port(is_secure) ? std::string{} : fmt::format(":{}", port);
    return fmt::format("{}://{}{}{}", is_secure ? "https" : "http", bracketed, port_text, target);
}

bool Url::has_same_origin(Url const& other) const
{
    return is_secure == other.is_secure && host == other.host && port == other.port;
}

std::string_view Url::file_name() const
{
    auto const path = std::string_view(target).substr(0, target.find('?'));
    return path.substr(path.rfind('/') + 1);
}

std::optional<asio::ip::address> Url::address() const
{
    return address_from(host);
}

bool is_public(asio::ip::address const& address)
{
    return address.is_v4() ? is_public_v4(address.to_v4()) : is_public_v6(address.to_v6());
}

}  // namespace plexus
