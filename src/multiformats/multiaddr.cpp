#include "multiformats/multiaddr.h"

#include <boost/asio/ip/address.hpp>

#include "multiformats/multibase.h"
#include "multiformats/varint.h"

namespace plexus::multiformats {

namespace {

enum class Form { none, ip4, ip6, port, byte, text, path, peer, hash, onion, onion3, garlic32, garlic64 };

struct Protocol {
    std::uint64_t code;
    std::string_view name;
    Form form;
    std::size_t fixed_size = 0;  // 0: length-prefixed, unless the form is none
};

/// A text is longer than its bytes: percent-encoding alone triples a path.
constexpr std::size_t max_address_text = 4 * Multiaddr::max_bytes;

constexpr auto protocols = std::array{
    Protocol{4, "ip4", Form::ip4, 4},
    Protocol{6, "tcp", Form::port, 2},
    Protocol{33, "dccp", Form::port, 2},
    Protocol{41, "ip6", Form::ip6, 16},
    Protocol{42, "ip6zone", Form::text},
    Protocol{43, "ipcidr", Form::byte, 1},
    Protocol{53, "dns", Form::text},
    Protocol{54, "dns4", Form::text},
    Protocol{55, "dns6", Form::text},
    Protocol{56, "dnsaddr", Form::text},
    Protocol{132, "sctp", Form::port, 2},
    Protocol{273, "udp", Form::port, 2},
    Protocol{276, "p2p-webrtc-direct", Form::none},
    Protocol{280, "webrtc-direct", Form::none},
    Protocol{281, "webrtc", Form::none},
    Protocol{290, "p2p-circuit", Form::none},
    Protocol{400, "unix", Form::path},
    Protocol{421, "p2p", Form::peer},
    Protocol{444, "onion", Form::onion, 12},
    Protocol{445, "onion3", Form::onion3, 37},
    Protocol{446, "garlic64", Form::garlic64},
    Protocol{447, "garlic32", Form::garlic32},
    Protocol{443, "https", Form::none},
    Protocol{448, "tls", Form::none},
    Protocol{449, "sni", Form::text},
    Protocol{454, "noise", Form::none},
    Protocol{460, "quic", Form::none},
    Protocol{461, "quic-v1", Form::none},
    Protocol{465, "webtransport", Form::none},
    Protocol{466, "certhash", Form::hash},
    Protocol{477, "ws", Form::none},
    Protocol{478, "wss", Form::none},
    Protocol{480, "http", Form::none},
    Protocol{481, "http-path", Form::path},
    Protocol{777, "memory", Form::text},  // in tests only; rust has a number here instead
};

Protocol const* find_code(std::uint64_t code)
{
    auto const found = std::ranges::find(protocols, code, &Protocol::code);
    return found == protocols.end() ? nullptr : &*found;
}

Protocol const* find_name(std::string_view name)
{
    auto const found = std::ranges::find(protocols, name == "ipfs" ? "p2p" : name, &Protocol::name);
    return found == protocols.end() ? nullptr : &*found;
}

Result<std::uint16_t> parse_number(std::string_view text, std::uint32_t limit)
{
    std::uint32_t value = 0;
    if (text.empty() || text.size() > 5) {
        return fail(ErrorKind::malformed, "\"{}\" is not a number", text);
    }
    for (auto digit : text) {
        if (digit < '0' || digit > '9') {
            return fail(ErrorKind::malformed, "\"{}\" is not a number", text);
        }
        value = value * 10 + static_cast<std::uint32_t>(digit - '0');
    }
    if (value > limit) {
        return fail(ErrorKind::malformed, "{} is over {}", value, limit);
    }
    return static_cast<std::uint16_t>(value);
}

Bytes big_endian(std::uint16_t value)
{
    auto bytes = Bytes(2);
    store_big_endian(bytes.data(), value);
    return bytes;
}

template <typename Address>
Bytes address_bytes(Address const& address)
{
    auto const raw = address.to_bytes();
    return to_bytes(std::as_bytes(std::span(raw)));
}

Result<Bytes> onion_from_text(std::string_view text, std::size_t host_size)
{
    auto const colon = text.find(':');
    auto host = from_base32(text.substr(0, std::min(colon, text.size())));
    auto const port = colon == std::string_view::npos ? Result<std::uint16_t>(fail(ErrorKind::malformed, "no port"))
                                                      : parse_number(text.substr(colon + 1), 65535);
    if (!host || host->size() != host_size || !port || *port == 0) {
        return fail(ErrorKind::malformed, "\"{}\" is not an onion address", text);
    }
    append(*host, big_endian(*port));
    return std::move(*host);
}

Result<Bytes> percent_decode(std::string_view text)
{
    auto bytes = Bytes{};
    for (std::size_t index = 0; index < text.size(); ++index) {
        if (text[index] != '%') {
            bytes.push_back(static_cast<std::byte>(text[index]));
            continue;
        }
        auto const decoded = from_hex(text.substr(index + 1, 2));
        if (!decoded || decoded->size() != 1) {
            return fail(ErrorKind::malformed, "\"{}\" is not percent-encoded", text);
        }
        bytes.push_back(decoded->front());
        index += 2;
    }
    return bytes;
}

std::string percent_encode(ByteView bytes)
{
    constexpr std::string_view unreserved =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~!*'()";
    auto text = std::string{};
    for (auto byte : bytes) {
        auto const letter = static_cast<char>(byte);
        if (unreserved.contains(letter)) {
            text.push_back(letter);
        } else {
            text += fmt::format("%{:02X}", std::to_integer<unsigned>(byte));
        }
    }
    return text;
}

Result<Bytes> value_from_text(Protocol const& protocol, std::string_view text)
{
    auto code = boost::system::error_code{};
    switch (protocol.form) {
    case Form::ip4: {
        auto const address = asio::ip::make_address_v4(text, code);
        return code ? Result<Bytes>(fail(ErrorKind::malformed, "\"{}\" is not an IPv4 address", text))
                    : Result<Bytes>(address_bytes(address));
    }
    case Form::ip6: {
        auto const address = asio::ip::make_address_v6(text, code);
        return code || address.scope_id() != 0
                   ? Result<Bytes>(fail(ErrorKind::malformed, "\"{}\" is not an IPv6 address", text))
                   : Result<Bytes>(address_bytes(address));
    }
    case Form::port: return transform(parse_number(text, 65535), big_endian);
    case Form::byte:
        return transform(parse_number(text, 255), [](std::uint16_t value) { return Bytes{static_cast<std::byte>(value)}; });
    case Form::peer: return transform(PeerId::from_text(text), [](PeerId const& peer) { return to_bytes(peer.bytes()); });
    case Form::hash:
        return text.starts_with("u") ? from_base64url(text.substr(1))
                                     : Result<Bytes>(fail(ErrorKind::malformed, "\"{}\" is not base64url", text));
    case Form::onion: return onion_from_text(text, 10);
    case Form::onion3: return onion_from_text(text, 35);
    case Form::garlic32: return from_base32(text);
    case Form::garlic64: return from_base64_i2p(text);
    case Form::path: return percent_decode(text);
    default: return to_bytes(text);
    }
}

std::string value_to_text(Protocol const& protocol, ByteView value)
{
    switch (protocol.form) {
    case Form::ip4: {
        auto raw = asio::ip::address_v4::bytes_type{};
        std::memcpy(raw.data(), value.data(), raw.size());
        return asio::ip::address_v4(raw).to_string();
    }
    case Form::ip6: {
        auto raw = asio::ip::address_v6::bytes_type{};
        std::memcpy(raw.data(), value.data(), raw.size());
        return asio::ip::address_v6(raw).to_string();
    }
    case Form::port: return std::to_string(load_big_endian<std::uint16_t>(value.data()));
    case Form::byte: return std::to_string(std::to_integer<unsigned>(value[0]));
    case Form::peer: return PeerId::from_bytes(value).value().text();
    case Form::hash: return "u" + to_base64url(value);
    case Form::onion:
    case Form::onion3:
        return fmt::format("{}:{}", to_base32(value.first(value.size() - 2)),
                           load_big_endian<std::uint16_t>(value.last(2).data()));
    case Form::garlic32: return to_base32(value);
    case Form::garlic64: return to_base64_i2p(value);
    case Form::path: return percent_encode(value);
    default: return std::string(as_text(value));
    }
}

/// One multihash, nothing behind it.
bool is_multihash(ByteView value)
{
    auto const code = take_varint(value);
    auto const size = code ? take_varint(value) : code;
    return size && *size == value.size() && *size > 0;
}

/// Printable ASCII without a slash: what a peer names ends up in logs and terminals.
bool is_plain_text(ByteView value)
{
    return !value.empty() && std::ranges::all_of(as_text(value), [](char letter) {
        return letter > ' ' && letter < 0x7f && letter != '/';
    });
}

bool is_valid(Form form, ByteView value)
{
    constexpr std::size_t most = 512;  // what base32 text of the limited size can hold
    if (value.size() > most && (form == Form::hash || form == Form::garlic32 || form == Form::garlic64)) {
        return false;
    }
    switch (form) {
    case Form::peer: return PeerId::from_bytes(value).has_value();
    case Form::text: return is_plain_text(value);
    case Form::hash: return is_multihash(value);
    case Form::onion:
    case Form::onion3: return load_big_endian<std::uint16_t>(value.last(2).data()) != 0;
    case Form::garlic32: return value.size() == 32 || value.size() >= 35;
    case Form::garlic64: return value.size() >= 386;
    case Form::path: return !value.empty();
    default: return true;
    }
}

Result<Multiaddr::Component> take_component(ByteView& rest)
{
    auto const code = take_varint(rest);
    if (!code) {
        return std::unexpected(code.error());
    }
    auto const* protocol = find_code(*code);
    if (protocol == nullptr) {
        return fail(ErrorKind::malformed, "the address has a component of unknown code {}", *code);
    }
    auto size = Result<std::uint64_t>(protocol->fixed_size);
    if (protocol->fixed_size == 0 && protocol->form != Form::none) {
        size = take_varint(rest);
    }
    if (!size || *size > rest.size()) {
        return fail(ErrorKind::malformed, "the address is cut off in /{}", protocol->name);
    }
    auto const value = rest.first(*size);
    rest = rest.subspan(*size);
    if (!is_valid(protocol->form, value)) {
        return fail(ErrorKind::malformed, "the address has a broken value for /{}", protocol->name);
    }
    return Multiaddr::Component{*code, value};
}

void append_component(Bytes& bytes, Protocol const& protocol, ByteView value)
{
    append_varint(bytes, protocol.code);
    if (protocol.fixed_size == 0 && protocol.form != Form::none) {
        append_varint(bytes, value.size());
    }
    append(bytes, value);
}

}  // namespace

Result<Multiaddr> Multiaddr::from_bytes(ByteView bytes)
{
    if (bytes.size() > max_bytes) {
        return fail(ErrorKind::too_large, "the address has {} bytes, at most {} are read", bytes.size(), max_bytes);
    }
    if (bytes.empty()) {
        return fail(ErrorKind::malformed, "the address is empty");
    }
    auto rest = bytes;
    for (std::size_t count = 0; !rest.empty(); ++count) {
        if (count == max_components) {
            return fail(ErrorKind::too_large, "the address has more than {} components", max_components);
        }
        if (auto component = take_component(rest); !component) {
            return std::unexpected(component.error());
        }
    }
    return Multiaddr(to_bytes(bytes));
}

Result<Multiaddr> Multiaddr::from_text(std::string_view text)
{
    if (text.size() > max_address_text || !text.starts_with('/')) {
        return fail(ErrorKind::malformed, "an address starts with / and has at most {} characters", max_address_text);
    }
    auto bytes = Bytes{};
    auto rest = text.substr(1);
    auto take_part = [&rest] {
        auto const part = rest.substr(0, rest.find('/'));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        return part;
    };
    while (!rest.empty()) {
        auto const name = take_part();
        auto const* protocol = find_name(name);
        if (protocol == nullptr) {
            return fail(ErrorKind::malformed, "the address has an unknown part");
        }
        auto const value = protocol->form == Form::none ? Result<Bytes>(Bytes{}) : value_from_text(*protocol, take_part());
        if (!value) {
            return std::unexpected(value.error());
        }
        append_component(bytes, *protocol, *value);
    }
    return from_bytes(bytes);
}

Multiaddr Multiaddr::from_tcp(Endpoint const& endpoint)
{
    auto bytes = Bytes{};
    if (endpoint.address.is_v4()) {
        append_component(bytes, *find_code(ip4), address_bytes(endpoint.address.to_v4()));
    } else {
        append_component(bytes, *find_code(ip6), address_bytes(endpoint.address.to_v6()));
    }
    append_component(bytes, *find_code(tcp), big_endian(endpoint.port));
    return Multiaddr(std::move(bytes));
}

std::vector<Multiaddr::Component> Multiaddr::components() const
{
    auto parts = std::vector<Component>{};
    auto rest = ByteView(bytes_);
    while (!rest.empty()) {
        parts.push_back(take_component(rest).value());
    }
    return parts;
}

std::string Multiaddr::text() const
{
    auto whole = std::string{};
    for (auto const& part : components()) {
        auto const& protocol = *find_code(part.code);
        whole += fmt::format("/{}", protocol.name);
        if (protocol.form != Form::none) {
            whole += "/" + value_to_text(protocol, part.value);
        }
    }
    return whole;
}

std::optional<Endpoint> Multiaddr::tcp_endpoint() const
{
    auto const parts = components();
    if (parts.size() < 2 || parts.size() > 3 || parts[1].code != tcp || (parts.size() == 3 && parts[2].code != p2p)) {
        return std::nullopt;
    }
    if (parts[0].code != ip4 && parts[0].code != ip6) {
        return std::nullopt;
    }
    auto const host = value_to_text(*find_code(parts[0].code), parts[0].value);
    return Endpoint{asio::ip::make_address(host), load_big_endian<std::uint16_t>(parts[1].value.data())};
}

std::optional<PeerId> Multiaddr::peer() const
{
    auto const parts = components();
    if (parts.empty() || parts.back().code != p2p) {
        return std::nullopt;
    }
    return PeerId::from_bytes(parts.back().value).value();
}

Multiaddr Multiaddr::with_peer(PeerId const& peer) const
{
    auto bytes = without_peer().bytes_;
    append_component(bytes, *find_code(p2p), peer.bytes());
    return Multiaddr(std::move(bytes));
}

Multiaddr Multiaddr::without_peer() const
{
    auto bytes = Bytes{};
    auto const parts = components();
    auto const count = !parts.empty() && parts.back().code == p2p ? parts.size() - 1 : parts.size();
    for (std::size_t index = 0; index < count; ++index) {
        append_component(bytes, *find_code(parts[index].code), parts[index].value);
    }
    return Multiaddr(std::move(bytes));
}

std::strong_ordering Multiaddr::operator<=>(Multiaddr const& other) const
{
    return std::lexicographical_compare_three_way(bytes_.begin(), bytes_.end(), other.bytes_.begin(),
                                                  other.bytes_.end());
}

}  // namespace plexus::multiformats
