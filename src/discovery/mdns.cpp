#include "discovery/mdns.h"

#include "discovery/dns_message.h"

namespace plexus::discovery {

namespace {

constexpr auto text_prefix = std::string_view("dnsaddr=");
constexpr std::size_t max_text_bytes_told = 1100;  // so that the whole fits into a packet of Ethernet
constexpr std::size_t label_size = 32;
constexpr auto least_spread = std::chrono::milliseconds(20);
constexpr auto most_spread = std::chrono::milliseconds(120);
constexpr auto announcements_at_a_change = 2U;

bool can_be_neighbour(asio::ip::address const& address)
{
    auto const is_link_local = address.is_v6() && address.to_v6().is_link_local();  // of which link, nobody says
    return !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !is_link_local;
}

std::optional<Multiaddr> address_in(std::string_view text)
{
    if (!text.starts_with(text_prefix)) {
        return std::nullopt;
    }
    auto const address = Multiaddr::from_text(text.substr(text_prefix.size()));
    auto const endpoint = address ? address->tcp_endpoint() : std::nullopt;
    if (!endpoint || endpoint->port == 0 || !can_be_neighbour(endpoint->address) || !address->peer()) {
        return std::nullopt;
    }
    return *address;
}

std::string_view label_in(std::string_view name)
{
    return name.substr(0, std::min(name.find('.'), name.size()));
}

bool is_of_service(std::string_view name)
{
    return name.ends_with(mdns_service);
}

void add(std::vector<Sighting>& sightings, Multiaddr const& address, DnsRecord const& record)
{
    auto const peer = *address.peer();
    auto const label = label_in(record.name);
    auto found = std::ranges::find_if(
        sightings, [&](Sighting const& sighting) { return sighting.peer == peer && sighting.label == label; });
    if (found == sightings.end()) {
        if (sightings.size() == max_sightings) {
            return;
        }
        auto const lifetime = std::min<Duration>(std::chrono::seconds(record.ttl_seconds), mdns_lifetime);
        sightings.push_back({.peer = peer, .label = std::string(label), .lifetime = lifetime});
        found = std::prev(sightings.end());
    }
    if (found->addresses.size() < max_addresses_of_neighbour) {
        found->addresses.push_back(address.without_peer());
    }
}

}  // namespace

Mdns::Mdns(PeerId self, std::string label, Random& random, Time now)
    : self_(std::move(self)), label_(std::move(label)), random_(random), query_at_(now + spread())
{
}

std::string Mdns::new_label(Random& random)
{
    constexpr auto letters = std::string_view("abcdefghijklmnopqrstuvwxyz0123456789");
    auto label = std::string(label_size, '\0');
    std::ranges::generate(label, [&] { return letters[random.below(letters.size())]; });
    return label;
}

Duration Mdns::spread()
{
    constexpr auto width = std::chrono::nanoseconds(most_spread - least_spread).count();
    return least_spread + Duration(random_.below(static_cast<std::uint64_t>(width)));
}

void Mdns::set_addresses(std::vector<Multiaddr> const& addresses, Time now)
{
    auto texts = std::vector<std::string>{};
    auto size = std::size_t{0};
    for (auto const& address : addresses) {
        auto text = std::string(text_prefix) + address.with_peer(self_).text();
        size += text.size() + 1;
        if (text.size() <= max_dns_text_bytes && size <= max_text_bytes_told) {
            texts.push_back(std::move(text));
        }
    }
    if (texts == texts_) {
        return;
    }
    texts_ = std::move(texts);
    endpoint_ = texts_.empty() ? std::nullopt : addresses.front().tcp_endpoint();
    announcements_ = announcements_at_a_change;
    answer_soon(now);
}

void Mdns::ask_again(Time now)
{
    query_at_ = std::min(query_at_, now + spread());
    query_pause_ = first_query_pause;
}

void Mdns::answer_soon(Time now)
{
    if (texts_.empty()) {
        answer_at_ = Time::max();
        return;
    }
    auto const allowed = answered_at_ ? *answered_at_ + least_answer_pause : now;
    answer_at_ = std::min(answer_at_, std::max(now + spread(), allowed));
}

std::vector<Bytes> Mdns::due(Time now)
{
    auto messages = std::vector<Bytes>{};
    if (query_at_ <= now) {
        messages.push_back(write_dns_message({.questions = {{mdns_service, dns_type::ptr}}}));
        query_at_ = now + query_pause_;
        query_pause_ = std::min<Duration>(query_pause_ * 2, longest_query_pause);
    }
    if (answer_at_ <= now) {
        using std::chrono::seconds;
        messages.push_back(answer(static_cast<std::uint32_t>(seconds(mdns_lifetime).count())));
        answered_at_ = now;
        answer_at_ = Time::max();
        announcements_ -= announcements_ > 0 ? 1 : 0;
        if (announcements_ > 0) {
            answer_soon(now);
        }
    }
    return messages;
}

/// go-libp2p passes over whoever sends no SRV and A or AAAA beside the texts, which are all that it reads.
Bytes Mdns::answer(std::uint32_t ttl_seconds) const
{
    auto const name = label_ + "." + mdns_service;
    auto const host = label_ + ".local";
    auto message = DnsMessage{.is_response = true};
    message.answers.push_back(
        {.name = mdns_service, .type = dns_type::ptr, .ttl_seconds = ttl_seconds, .target = name});
    message.additionals.push_back(
        {.name = name, .type = dns_type::txt, .ttl_seconds = ttl_seconds, .replaces_others = true, .texts = texts_});
    if (endpoint_) {
        message.additionals.push_back({.name = name,
                                       .type = dns_type::srv,
                                       .ttl_seconds = ttl_seconds,
                                       .replaces_others = true,
                                       .target = host,
                                       .port = endpoint_->port});
        message.additionals.push_back({.name = host,
                                       .type = endpoint_->address.is_v4() ? dns_type::a : dns_type::aaaa,
                                       .ttl_seconds = ttl_seconds,
                                       .replaces_others = true,
                                       .address = endpoint_->address});
    }
    return write_dns_message(message);
}

std::optional<Bytes> Mdns::farewell() const
{
    return answered_at_ ? std::optional(answer(0)) : std::nullopt;
}

Result<std::vector<Sighting>> Mdns::take(ByteView bytes, Time now)
{
    auto const message = parse_dns_message(bytes);
    if (!message) {
        return std::unexpected(message.error());
    }
    auto sightings = std::vector<Sighting>{};
    if (!message->is_response) {
        auto const is_for_us = [](DnsQuestion const& question) {
            return question.name == mdns_service && (question.type == dns_type::ptr || question.type == dns_type::any);
        };
        if (std::ranges::any_of(message->questions, is_for_us)) {
            answer_soon(now);
        }
        return sightings;
    }
    for (auto const* section : {&message->answers, &message->additionals}) {
        for (auto const& record : *section) {
            if (!is_of_service(record.name) || label_in(record.name) == label_) {
                continue;
            }
            for (auto const& text : record.texts) {
                if (auto const address = address_in(text)) {
                    add(sightings, *address, record);
                }
            }
        }
    }
    return sightings;
}

}  // namespace plexus::discovery
