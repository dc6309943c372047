#include <doctest/doctest.h>

#include "discovery/dns_message.h"

using namespace plexus;
using namespace plexus::discovery;

namespace {

// libp2p-wire.md, section 23.
constexpr auto query_vector = "000000000001000000000000045f703270045f756470056c6f63616c00000c0001";
constexpr auto response_vector =
    "000084000000000100000001045f703270045f756470056c6f63616c00000c00010000007800322061616161616161616161616161616161"
    "61616161616161616161616161616161045f703270045f756470056c6f63616c002061616161616161616161616161616161616161616161"
    "61616161616161616161045f703270045f756470056c6f63616c000010800100000078005958646e73616464723d2f6970342f3139322e30"
    "2e322e312f7463702f343030312f7032702f313244334b6f6f574b3939566f56784e4537587a79427758457a573778684b37477076383572"
    "394633563366794b53554b504835";

DnsMessage response()
{
    auto const name = std::string(32, 'a') + "._p2p._udp.local";
    return {.is_response = true,
            .answers = {{.name = "_p2p._udp.local", .type = dns_type::ptr, .ttl_seconds = 120, .target = name}},
            .additionals = {{.name = name,
                             .type = dns_type::txt,
                             .ttl_seconds = 120,
                             .replaces_others = true,
                             .texts = {"dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/"
                                       "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"}}}};
}

Result<DnsMessage> parse(std::string const& hex)
{
    return parse_dns_message(from_hex(hex).value());
}

}  // namespace

TEST_CASE("dns message: the published vectors are read and written")
{
    auto const query = DnsMessage{.questions = {{"_p2p._udp.local", dns_type::ptr}}};
    CHECK(to_hex(write_dns_message(query)) == query_vector);
    CHECK(parse(query_vector).value() == query);
    CHECK(to_hex(write_dns_message(response())) == response_vector);
    CHECK(parse(response_vector).value() == response());
}

TEST_CASE("dns message: names are compressed by others, are not told apart by case, and may hold dots")
{
    // PTR: "A.B" under "_Ipp.local", where the target is the label "A.B" and a pointer to the name of the record.
    auto const message = parse(
        "000084000000000100000000"
        "045f497070056c6f63616c00"
        "000c000100000078000603412e42c00c");
    REQUIRE(message);
    CHECK(message->answers.front().name == "_ipp.local");
    CHECK(message->answers.front().target == "a\\.b._ipp.local");
    CHECK(parse_dns_message(write_dns_message(*message)).value() == *message);
}

TEST_CASE("dns message: records of other kinds are passed over")
{
    auto message = response();
    message.additionals.insert(
        message.additionals.begin(),
        {{.name = "a.local", .type = dns_type::srv, .target = "a.local", .port = 1},
         {.name = "a.local", .type = dns_type::a, .address = asio::ip::make_address("192.0.2.1")},
         {.name = "a.local", .type = dns_type::aaaa, .address = asio::ip::make_address("2001:db8::1")}});
    CHECK(parse_dns_message(write_dns_message(message)).value() == response());
}

TEST_CASE("dns message: every beginning of a message is refused, and nothing points forward or in a circle")
{
    auto const whole = from_hex(response_vector).value();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK(parse_dns_message(ByteView(whole).first(size)).error().kind == ErrorKind::malformed);
    }
    CHECK(parse("000000000001000000000000c00c00"
                "0c0001")
              .error()
              .kind == ErrorKind::malformed);
    CHECK(parse("000000000001000000000000c0ff00"
                "0c0001")
              .error()
              .kind == ErrorKind::malformed);
    CHECK(parse("000000000001000000000000"
                "40"
                "000c0001")
              .error()
              .kind == ErrorKind::malformed);
    CHECK(parse("0000000002000000000001ff").error().kind == ErrorKind::too_large);
    CHECK(parse_dns_message(Bytes(max_dns_message_bytes + 1)).error().kind == ErrorKind::too_large);
}

TEST_CASE("dns message: a name is no longer than 255 bytes")
{
    auto label = std::string("3f");
    for (auto count = 0; count < 63; ++count) {
        label += "61";
    }
    auto const head = std::string("000000000001000000000000");
    CHECK(parse(head + label + label + label + "00000c0001"));
    CHECK(parse(head + label + label + label + label + "00000c0001").error().kind == ErrorKind::malformed);
}
