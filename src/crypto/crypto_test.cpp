#include <doctest/doctest.h>

#include "crypto/aead.h"
#include "crypto/cpace.h"
#include "crypto/digest.h"
#include "crypto/keys.h"

using namespace plexus;
using namespace plexus::crypto;

namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

Secret32 secret(std::string_view text)
{
    auto const bytes = hex(text);
    return Secret32(std::span<std::byte const, 32>(bytes));
}

// libp2p-wire.md section 1.3.
constexpr std::string_view ed25519_seed = "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d";
constexpr std::string_view ed25519_public = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
constexpr std::string_view secp256k1_public = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99";
constexpr std::string_view ecdsa_public =
    "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62";
constexpr std::string_view rsa_public =
    "080012a60430820222300d06092a864886f70d01010105000382020f003082020a0282020100e1beab071d08200bde24eef00d049449b07770ff9910257b2d7d5dda242ce8f0e2f12e1af4b32d9efd2c090f66b0f29986dbb645dae9880089704a94e5066d594162ae6ee8892e6ec70701db0a6c445c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0ab3aeb1873282bebd3da03c33e76c21e9beb172fd44c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395ad941256542c793902185153c474bed109d6ff5141ebf9cd256cf58893a37f83729f97e7cb435ec679d2e33901d27bb35aa0d7e20561da08885ef0abbf8e2fb48d6a5487047a9ecb1ad41fa7ed84f6e3e8ecd5d98b3982d2a901b4454991766da295ab78822add5612a2df83bcee814cf50973e80d7ef38111b1bd87da2ae92438a2c8cbcc70b31ee319939a3b9c761dbc13b5c086d6b64bf7ae7dacc14622375d92a8ff9af7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeffd7ac1e3fbcc6b6168c34be3d5a2e5999fcbb39bba7adbca78eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb04a9580b4753c1738a6a760ae1afd851a1a4bdad231cf56e9284d832483df215a46c1c21bdf0c6cfe951c18f1ee4078c79c13d63edb6e14feaeffabc90ad317e4875fe648101b0864097e998f0ca3025ef9638cd2b0caecd3770ab54a1d9c6ca959b0f5dcbc90caeefc4135baca6fd475224269bbe1b0203010001";
constexpr std::string_view signed_message = "706c657875732d6d657368207369676e61747572652074657374";
constexpr std::string_view ed25519_signature =
    "975a8bab95c6580a402153a4ccfc0796be68c73f197f19a353dae26d78f4fb46c6fe54b20e82d0dd952ad5a72fea0da5727531c91648e4dcfe90a2ebe1c0c908";
constexpr std::string_view secp256k1_signature =
    "3045022100ce8023c1721e2cc0941c451321fdeae0ab57a59f377923aaeb60501ea0844f9a02205ae257e03e0144e1981ee4a2376608f8b71f5d5615122e8db6c256dfe45cdbb9";
constexpr std::string_view ecdsa_signature =
    "3046022100e1852d7f71c423452f0ba5335a11574888575cf989edc835504e16b35e71917e022100eb5c920d006cb797387a0a55ce5ca480c2cc3bdb309b60283c1f09eb35a2208f";
constexpr std::string_view rsa_signature =
    "b607644c4a0f61aae55f98df2eab0d060d26817b9d7c6fa3471bd8f175eadc4ea436de515d90a39c931a6be2985f3db61877b52af6b7c438f04d1fda0909b108650ec03dc182fda1eba90b1f657bfa447416a0010855527845d7487ca98e01348016297fc8d8870375985d2dbf38c2ca95303b48f6cf6da8d41c53b5c568f26fecdb8fb705eac68cec286893b5075d2d1b1e6957d46bd950e436f5fbaca71fe43020e86a21bdd61c72a9b0194d89c2beb5dc8eed49cc91870355c352e90fe172ef6ee46fbc48dc055ca1506050c123c41831f4744879f62ffb272bd7c9eacb86ad5d7da9d8d08e4f6e700bf88dd388c4880d53201fa49568f23da5c14a51effed0338cffdf7fc94bc7831fc55ae177a28ee04f24219edd9578b64777f24190820cd7fd244d380296a99db92cdc7078ddb8f0acf345c164b5a00c025855783fd1e7ab8fe99dc254bfda73a423ded6e25b3e4613c2d498bb7dce4d2d6665bd477137d4bbb9370963e8b587ac29f3439d53d2f5bd0241eadfa9aa4e699eec6395fb93d5b28781bca600776b1b7c7d21648505aa63350ab22e0e59d783e304f7a8585d5a8b4c55a4fe24d4ba4fe6fb29bcf80b3d2bf16046ed3f0d0fc57e2e59e7fd41f06ec5aaba478ad305dcc0c7e63307dca3093e99d0c9084bb20e5baa292490d110ec1b016579d445ddf5fd26e2aef350c33fd45ad163e65f132ebf10a2cefb";

}  // namespace

TEST_CASE("keys: an Ed25519 key signs and encodes as the vector says")
{
    auto const pair = KeyPair(secret(ed25519_seed));
    CHECK(to_hex(pair.public_key().encode()) == ed25519_public);
    CHECK(to_hex(pair.sign(hex(signed_message))) == ed25519_signature);
}

TEST_CASE("keys: signatures of all four kinds are checked")
{
    auto const vectors = std::array{std::pair(ed25519_public, ed25519_signature),
                                    std::pair(secp256k1_public, secp256k1_signature),
                                    std::pair(ecdsa_public, ecdsa_signature), std::pair(rsa_public, rsa_signature)};
    for (auto const& [key_text, signature_text] : vectors) {
        auto const key = PublicKey::decode(hex(key_text)).value();
        auto signature = hex(signature_text);
        CHECK(to_hex(key.encode()) == key_text);
        CHECK(key.verify(hex(signed_message), signature));
        CHECK_FALSE(key.verify(hex("00"), signature));
        signature[signature.size() / 2] ^= std::byte{1};
        CHECK_FALSE(key.verify(hex(signed_message), signature));
        CHECK_FALSE(key.verify(hex(signed_message), {}));
    }
}

TEST_CASE("keys: what is not canonical is refused")
{
    for (auto const* text : {"", "0801", "08011220", "080412021111", "0801120111", "08811200", "0880001220"}) {
        CHECK_FALSE(PublicKey::decode(hex(text)));
    }
    CHECK_FALSE(PublicKey::decode(hex(std::string(ed25519_public) + "00")));
}

TEST_CASE("exchange keys: both sides agree and the zero point is refused")
{
    auto const left = ExchangeKey(secret(std::string(64, '1')));
    auto const right = ExchangeKey(secret(std::string(64, '2')));
    auto const as_key = [](ByteView bytes) { return bytes.first<32>(); };

    CHECK(to_hex(left.public_key()) == "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13");
    CHECK(std::ranges::equal(left.shared_secret(as_key(right.public_key())).value().bytes(),
                             right.shared_secret(as_key(left.public_key())).value().bytes()));
    CHECK(left.shared_secret(as_key(Bytes(32))).error().kind == ErrorKind::malformed);
}

TEST_CASE("digest: SHA-256 and HMAC of known texts")
{
    CHECK(sha256(as_view("abc")).text() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hmac_sha256(as_view("Jefe"), as_view("what do ya want for nothing?")).text() ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(Digest32::from_text("zz").error().kind == ErrorKind::malformed);
}

TEST_CASE("aead: sealed in place opens again, and any change is noticed")
{
    auto key = AeadKey(secret(std::string(64, '3')));
    auto data = to_bytes("some plaintext");
    auto tag = Bytes(AeadKey::tag_size);
    key.seal(7, as_view("ad"), data, tag);
    auto copy = data;

    CHECK(key.open(7, as_view("ad"), copy, tag));
    CHECK(as_text(copy) == "some plaintext");
    for (auto const counter : {6ULL, 8ULL}) {
        copy = data;
        CHECK_FALSE(key.open(counter, as_view("ad"), copy, tag));
    }
    copy = data;
    CHECK_FALSE(key.open(7, as_view("da"), copy, tag));
    copy = data;
    copy[0] ^= std::byte{1};
    CHECK_FALSE(key.open(7, as_view("ad"), copy, tag));
}

TEST_CASE("digests: SHA-256 goes on from the chaining value behind any block")
{
    auto const bytes = Bytes(1000, std::byte{5});
    auto first = Sha256();
    first.update(ByteView(bytes).first(640));

    auto second = Sha256(first.state(), 640);
    second.update(ByteView(bytes).subspan(640));

    CHECK(second.finish() == sha256(bytes));
    // FIPS 180-4 section 5.3.3
    CHECK(Sha256().state().text() == "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19");
}

namespace {

// draft-irtf-cfrg-cpace, "Test vector for CPace using group ristretto255 and hash SHA-512".
auto const cpace_context = Cpace::Context{.channel = hex("0a41696e69746961746f720a42726573706f6e646572"),
                                          .session = hex("7e4b4791d6a8ef019b936c79fb7f2c57")};
constexpr auto cpace_initiator_scalar = "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08";
constexpr auto cpace_responder_scalar = "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d";

Cpace cpace(std::string_view password, std::string_view scalar)
{
    auto const bytes = hex(scalar);
    return Cpace(as_view(password), cpace_context, Secret32(std::span<std::byte const, 32>(bytes)));
}

Bytes key_of(Cpace const& side, ByteView initiator, ByteView responder)
{
    return to_bytes(side.key(initiator, as_view("ADa"), responder, as_view("ADb")).value().bytes());
}

}  // namespace

TEST_CASE("cpace: shares and key are those of the published vector, on both sides")
{
    auto const initiator = cpace("Password", cpace_initiator_scalar);
    auto const responder = cpace("Password", cpace_responder_scalar);
    CHECK(to_hex(initiator.share()) == "383a85dd236978f17f8c8545b50dabc52a39fcdab2cf8bc531ce040ff77ca82d");
    CHECK(to_hex(responder.share()) == "a6206309c0e8e5f579295e35997ac4300ab3fecec3c17f7b604f3e698fa1383c");
    auto const key = key_of(initiator, initiator.share(), responder.share());
    CHECK(to_hex(key) ==
          "e91ccb2c0f5e0d0993a33956e3be59754f3f2b07db57631f5394452ea2e7b435"
          "4674eb1f5686c078462bf83bec72e8743df440108e638f3526d9b90e85be096f");
    CHECK(key == key_of(responder, initiator.share(), responder.share()));
}

TEST_CASE("cpace: another password, session, channel or word of either side gives another key")
{
    auto const initiator = cpace("Password", cpace_initiator_scalar);
    auto const responder = cpace("Password", cpace_responder_scalar);
    auto const wrong = cpace("password", cpace_responder_scalar);
    CHECK(key_of(initiator, initiator.share(), wrong.share()) != key_of(wrong, initiator.share(), wrong.share()));

    auto const bytes = hex(cpace_responder_scalar);
    for (auto const& context : {Cpace::Context{to_bytes("else"), cpace_context.session},
                                Cpace::Context{cpace_context.channel, to_bytes("else")}}) {
        auto const other = Cpace(as_view("Password"), context, Secret32(std::span<std::byte const, 32>(bytes)));
        CHECK(key_of(initiator, initiator.share(), other.share()) != key_of(other, initiator.share(), other.share()));
    }
    auto const said = initiator.key(initiator.share(), as_view("ADa"), responder.share(), as_view("ADb")).value();
    auto const heard = responder.key(initiator.share(), as_view("ADa"), responder.share(), as_view("ADc")).value();
    CHECK_FALSE(std::ranges::equal(said.bytes(), heard.bytes()));
}

TEST_CASE("cpace: a share that is no element, the neutral one, or of another size is refused")
{
    auto const side = cpace("Password", cpace_initiator_scalar);
    for (auto const* share : {"2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c",
                              "0000000000000000000000000000000000000000000000000000000000000000", "00", ""}) {
        auto const key = side.key(side.share(), {}, hex(share), {});
        CHECK(key.error().kind == ErrorKind::malformed);
    }
}
