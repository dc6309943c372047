#include <doctest/doctest.h>

#include "multiformats/multiaddr.h"
#include "multiformats/multibase.h"
#include "multiformats/protobuf.h"
#include "multiformats/varint.h"

using namespace plexus;
using namespace plexus::multiformats;
using namespace std::string_literals;

namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

struct Identity {
    std::string_view public_key;
    std::string_view id;
    std::string_view cid;
    std::string_view base36;
};

constexpr auto identities = std::array{
    Identity{"080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
             "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
             "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6",
             "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe"},
    Identity{"080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
             "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
             "bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324",
             "k51qzi5uqu5djmw2yvf8kk5cdjc1ddc00o4d5sjwi6f79xzcay9j3gkddw5uu4"},
    Identity{"080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
             "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq",
             "bafzaajaiaejcbajzo4hkq7ixl5lkgvdgyngh5tglrwfjdnhog6rf35qploh4tm4u",
             "k51qzi5uqu5djejcj9das04p3wen7mowcz0z5iq3tw0yxaa8ko01odjley7fdg"},
    Identity{"08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99",
             "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
             "bafzaajiiaijcca3xo7uzjzcsyilaj6i54cj44qk7kqzpoao5rti2pjx6udtdbp6kte", ""},
};

constexpr std::string_view id_a = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
constexpr std::string_view id_b = "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq";

}  // namespace

TEST_CASE("varint: the vectors encode and decode")
{
    auto const vectors = std::map<std::uint64_t, std::string>{
        {0, "00"}, {1, "01"}, {127, "7f"}, {128, "8001"}, {255, "ff01"}, {300, "ac02"}, {16384, "808001"}};
    for (auto const& [value, text] : vectors) {
        auto bytes = Bytes{};
        append_varint(bytes, value);
        CHECK(to_hex(bytes) == text);
        CHECK(read_varint(bytes).value()->value == value);
        CHECK(varint_size(value) == bytes.size());
    }
}

TEST_CASE("varint: longer than needed or than nine bytes is malformed, cut off needs more")
{
    CHECK(read_varint(hex("8000")).error().kind == ErrorKind::malformed);
    CHECK(read_varint(hex("ffffffffffffffffff")).error().kind == ErrorKind::malformed);
    CHECK(read_varint(hex("ffffffffffffffff7f")).value()->value == 0x7fffffffffffffffULL);
    CHECK_FALSE(read_varint(hex("80")).value());
}

TEST_CASE("peer id: the vectors agree in binary, base58, base32 and base36")
{
    for (auto const& identity : identities) {
        auto const id = PeerId::from_public_key(hex(identity.public_key)).value();
        CHECK(id.text() == identity.id);
        CHECK(PeerId::from_text(identity.id).value() == id);
        CHECK(PeerId::from_text(identity.cid).value() == id);
        CHECK(PeerId::from_bytes(id.bytes()).value() == id);
        CHECK(to_hex(id.inline_public_key()) == identity.public_key);
        if (!identity.base36.empty()) {
            CHECK(PeerId::from_text(identity.base36).value() == id);
        }
    }
}

TEST_CASE("peer id: a hashed id has two texts")
{
    auto const id = PeerId::from_text("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N").value();
    CHECK(to_hex(id.bytes()) == "12209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9");
    CHECK(PeerId::from_text("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe").value() == id);
    CHECK(id.inline_public_key().empty());
}

TEST_CASE("peer id: foreign hashes, trailing bytes and undecodable keys are refused")
{
    for (auto const* text : {"", "00", "0000", "1220aa", "001000", "13020102", "00020801", "000408011200ff"}) {
        CHECK(PeerId::from_bytes(hex(text)).error().kind == ErrorKind::malformed);
    }
    for (auto const* text : {"", "x", "1", "Qm", "b", "bafz", "k0", "12D3KooW0", "0OIl"}) {
        CHECK_FALSE(PeerId::from_text(text));
    }
}

TEST_CASE("multiaddr: the vectors agree in text and binary")
{
    auto const a = std::string(id_a);
    auto const b = std::string(id_b);
    auto const a_hex = "a503260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"s;
    auto const b_hex = "a503260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"s;
    auto const vectors = std::map<std::string, std::string>{
        {"/ip4/127.0.0.1/tcp/4001", "047f000001060fa1"},
        {"/ip4/192.0.2.1/udp/4001/quic-v1", "04c000020191020fa1cd03"},
        {"/ip6/2001:db8::1/tcp/4001", "2920010db8000000000000000000000001060fa1"},
        {"/ip6/::1/udp/443/quic-v1", "2900000000000000000000000000000001910201bbcd03"},
        {"/ip4/192.0.2.1/tcp/4001/p2p/" + a, "04c0000201060fa1" + a_hex},
        {"/ip4/192.0.2.1/tcp/4001/p2p/" + a + "/p2p-circuit/p2p/" + b, "04c0000201060fa1" + a_hex + "a202" + b_hex},
        {"/dns4/example.com/tcp/443/wss", "360b6578616d706c652e636f6d0601bbde03"},
        {"/dns/example.com/tcp/443/tls/ws", "350b6578616d706c652e636f6d0601bbc003dd03"},
        {"/dns/example.com/tcp/443/tls/sni/example.com/ws",
         "350b6578616d706c652e636f6d0601bbc003c1030b6578616d706c652e636f6ddd03"},
        {"/dnsaddr/bootstrap.libp2p.io", "3813626f6f7473747261702e6c69627032702e696f"},
        {"/ip4/192.0.2.1/udp/1234/webrtc-direct/certhash/uEiA-ea9A1gWWF6DYO4OlLOc7DB83pyxgQ60pad41G9yocA",
         "04c0000201910204d29802d2032212203e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969de351bdca870"},
        {"/ip4/192.0.2.1/udp/4001/quic-v1/webtransport", "04c000020191020fa1cd03d103"},
        {"/ip6zone/eth0/ip6/fe80::1/tcp/4001", "2a046574683029fe800000000000000000000000000001060fa1"},
        {"/ip4/1.2.3.4/tcp/443/tls/http", "04010203040601bbc003e003"},
        {"/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
         "a5032212209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9"},
    };
    for (auto const& [text, binary] : vectors) {
        CAPTURE(text);
        CHECK(to_hex(Multiaddr::from_text(text).value().bytes()) == binary);
        CHECK(Multiaddr::from_bytes(hex(binary)).value().text() == text);
    }
}

TEST_CASE("multiaddr: an address whose text is longer than its bytes may be is read back from that text")
{
    auto bytes = hex("9003e807");
    bytes.resize(bytes.size() + 1000, std::byte{'?'});
    auto const address = Multiaddr::from_bytes(bytes).value();
    CHECK(address.text().size() > Multiaddr::max_bytes);
    CHECK(Multiaddr::from_text(address.text()).value() == address);
    CHECK_FALSE(Multiaddr::from_text("/unix/" + std::string(Multiaddr::max_bytes, 'x')));

    auto garlic = hex("bf03bc05");
    garlic.resize(garlic.size() + 700, std::byte{1});
    CHECK(Multiaddr::from_bytes(garlic).error().kind == ErrorKind::malformed);
}

TEST_CASE("multiaddr: broken addresses are refused in both forms")
{
    for (auto const* text : {"04", "047f0000", "047f00000106", "ffff01", "a50300", "a50305", "3500", "3601", "04c000020106"}) {
        CHECK_FALSE(Multiaddr::from_bytes(hex(text)));
    }
    for (auto const* text : {"", "ip4/1.2.3.4", "/ip4", "/ip4/1.2.3", "/tcp/65536", "/tcp/-1", "/nope/1", "/p2p/", "/ip6/1", "//"}) {
        CHECK_FALSE(Multiaddr::from_text(text));
    }
    CHECK_FALSE(Multiaddr::from_bytes(Bytes(Multiaddr::max_bytes + 1)));
    auto many = Bytes{};
    for (std::size_t count = 0; count <= Multiaddr::max_components; ++count) {
        append(many, hex("dd03"));
    }
    CHECK(Multiaddr::from_bytes(many).error().kind == ErrorKind::too_large);
}

TEST_CASE("multiaddr: peer and endpoint can be taken out and put in")
{
    auto const peer = PeerId::from_text(id_a).value();
    auto const endpoint = Endpoint{asio::ip::make_address("192.0.2.1"), 4001};
    auto const address = Multiaddr::from_tcp(endpoint);

    CHECK(address.with_peer(peer).peer() == peer);
    CHECK(address.with_peer(peer).without_peer() == address);
    CHECK(address.with_peer(peer).tcp_endpoint() == endpoint);
    CHECK_FALSE(Multiaddr::from_text("/ip4/1.2.3.4/udp/1/quic-v1").value().tcp_endpoint());
}

TEST_CASE("protobuf reader: cut off at every byte is an error or an earlier end, never more")
{
    auto const message = ProtobufWriter().varint(1, 300).text(2, "hello").varint(15, 1ULL << 63).take();
    for (std::size_t size = 0; size < message.size(); ++size) {
        auto reader = ProtobufReader(ByteView(message).first(size));
        auto fields = 0;
        auto field = reader.next();
        while (field && *field) {
            ++fields;
            field = reader.next();
        }
        CHECK(fields < 3);
    }
}

TEST_CASE("protobuf reader: groups, field zero and overlong numbers are malformed")
{
    for (auto const* text : {"0b", "00", "0880808080808080808002", "0affffffff0f", "0d0102", "09aa"}) {
        CHECK(ProtobufReader(hex(text)).next().error().kind == ErrorKind::malformed);
    }
}
