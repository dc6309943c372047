#include <doctest/doctest.h>

#include "security/envelope.h"
#include "security/identity.h"

using namespace plexus;
using namespace plexus::security;
using multiformats::Multiaddr;

namespace {

// libp2p-wire.md section 3, identities A and B of section 1.3.
constexpr std::string_view record_payload =
    "0a260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1080e2cfaa061a0a0a0804c00002"
    "01060fa11a0d0a0b04c000020191020fa1cd03";
constexpr std::string_view record_envelope =
    "0a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c120203011a490a260024080112208a88"
    "e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1080e2cfaa061a0a0a0804c0000201060fa11a0d0a0b04c0"
    "00020191020fa1cd032a4093e49f2dc251d578190ff9fcaa992fbce4e71ae75aa88f543c33ae3b993c45aa0b3cd437698284a3a15f08"
    "46af426d458bfb9d4ba1ec0c1116ec79f85e95700d";
constexpr std::string_view voucher_payload =
    "0a260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39412260024080112208a88e3dd7409"
    "f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1890fecfaa06";
constexpr std::string_view voucher_envelope =
    "0a24080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394120203021a560a260024080112208139"
    "770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39412260024080112208a88e3dd7409f195fd52db2d3cba5d72"
    "ca6709bf1d94121bf3748801b40f6f5c1890fecfaa062a40fb3898df6678f413699841dd22d93e4fa0604fae945203f442664875c572"
    "0f0804ac1eaef4e9af6bf5bd9303933601311dacd4842bb94ea503ab13441edc6b00";

Bytes hex(std::string_view text)
{
    return from_hex(text).value();
}

crypto::KeyPair key(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

PeerRecord record_of_a()
{
    return {.peer = peer_id_of(key(1).public_key()),
            .sequence = 1'700'000'000,
            .addresses = {Multiaddr::from_text("/ip4/192.0.2.1/tcp/4001").value(),
                          Multiaddr::from_text("/ip4/192.0.2.1/udp/4001/quic-v1").value()}};
}

}  // namespace

TEST_CASE("envelope: a peer record is byte for byte as the vector says, and is read again")
{
    CHECK(to_hex(seal_peer_record(key(1), record_of_a())) == record_envelope);
    CHECK(to_hex(open_envelope(hex(record_envelope), peer_record_use).value().payload) == record_payload);
    auto const record = open_peer_record(hex(record_envelope)).value();
    CHECK(record.peer == record_of_a().peer);
    CHECK(record.sequence == record_of_a().sequence);
    CHECK(record.addresses == record_of_a().addresses);
}

TEST_CASE("envelope: a relay voucher is byte for byte as the vector says")
{
    CHECK(to_hex(seal_envelope(key(2), relay_voucher_use, hex(voucher_payload))) == voucher_envelope);
    auto const opened = open_envelope(hex(voucher_envelope), relay_voucher_use).value();
    CHECK(to_hex(opened.payload) == voucher_payload);
    CHECK(opened.signer == key(2).public_key());
}

TEST_CASE("envelope: of another use, of another signer, changed or cut off it is refused")
{
    CHECK(open_envelope(hex(voucher_envelope), peer_record_use).error().kind == ErrorKind::malformed);
    CHECK(open_peer_record(seal_peer_record(key(2), record_of_a())).error().kind == ErrorKind::not_allowed);
    CHECK(open_envelope(Bytes(max_envelope_bytes + 1), peer_record_use).error().kind == ErrorKind::too_large);
    // The type is signed too: the same payload under another use has another signature.
    auto relabelled = hex(record_envelope);
    relabelled[2 + 36 + 3] = std::byte{2};
    CHECK(open_envelope(relabelled, relay_voucher_use).error().kind == ErrorKind::not_allowed);
    for (std::size_t index = 0; index < hex(record_envelope).size(); ++index) {
        CAPTURE(index);
        auto changed = hex(record_envelope);
        changed[index] ^= std::byte{1};
        CHECK_FALSE(open_peer_record(changed));
        CHECK_FALSE(open_peer_record(ByteView(changed).first(index)));
    }
}
