#include <doctest/doctest.h>

#include "security/noise.h"

using namespace plexus;
using namespace plexus::security;

namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

crypto::Secret32 filled(int value)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(value));
    return crypto::Secret32(std::span<std::byte const, 32>(bytes));
}

// libp2p-wire.md section 7.4.
struct Vector {
    std::vector<std::string> muxers;
    std::array<std::string, 3> messages;
    std::string hash;
};

Vector const vectors[] = {
    {{},
     {"0020052a50773ac8d91773f2dc9662e12f0defe915e415b8a1c8e20a5a3d6ab2b843",
      "00c80faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20a7ed3a6a454f03d7bb49831f99155a0f5b30d08f206300ad054574e2c183e32473fc04f9ec728bfb00430cf36aed63af19b2fb5876fa3fa7f11b3434f5ec1061d1bd502b6cb4e76b8e87f263e6be422adc454f0e5f5f661f03c47bc6927b0e483dca94f8b5662eeac6b8f2f991f85dbbb51c16c7bf7da0c7000f86272cac8f93450c408ccfe560c4ba679841d160cff78498b6a4325c840f159336ed229337b67fb3be071b3e1168",
      "00a8e86c81a880398a8d9bc21b322d8f524134ef9c0456a63ec2de76574116541dca41e9ab037523da5a84fbabef8d5aa97d27e4f597132223f511d2f4de776623fb3b3d8aaf51a49c0d4d1f6e23eed4651149fc5b9a6324d7aabc80e2ca20756876b77ac86253ef02b0eae304fa7cfc8078c239f2080babd496eb8f91d96113d3991ae9437a48622ac913e67c392c71efcc20e4e47fd72e012308269fff16260cc61691152cd1e914d3"},
     "162c951b281282951159d18079e40803791527b2217d85ef6469db00b03e1c4e"},
    {{"/yamux/1.0.0"},
     {"0020052a50773ac8d91773f2dc9662e12f0defe915e415b8a1c8e20a5a3d6ab2b843",
      "00d80faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20a7ed3a6a454f03d7bb49831f99155a0f5b30d08f206300ad054574e2c183e32473fc04f9ec728bfb00430cf36aed63af19b2fb5876fa3fa7f11b3434f5ec1061d1bd502b6cb4e76b8e87f263e6be422adc454f0e5f5f661f03c47bc6927b0e483dca94f8b5662eeac6b8f2f991f85dbbb51c16c7bf7da0c7000f86272cac8f93450c408ccfe560c4ba679841d160cff78498b6a4325c840facbc8ab842a27ee27931f9a33f4ebefcf941464f30ca32540011c9981894b185",
      "00b8e86c81a880398a8d9bc21b322d8f524134ef9c0456a63ec2de76574116541dca9f8adde75309298f98974b0326b7878927e4f597132223f511d2f4de776623fb3b3d8aaf51a49c0d4d1f6e23eed4651149fc5b9a6324d7aabc80e2ca20756876b77ac86253ef02b0eae304fa7cfc8078c239f2080babd496eb8f91d96113d3991ae9437a48622ac913e67c392c71efcc20e4e47fd72e0123db70f4225ebf73531d97a3e25c66277a57c7da84d4aa0fd0270dd580d1d6edab"},
     "ab2d72ae9c75536aa76ec2a63be8c6c9344036ab7ee1930a7226db65c1ba4344"},
};

auto const identity_a = crypto::KeyPair(filled(1));
auto const identity_b = crypto::KeyPair(filled(2));

NoiseHandshake make_initiator(std::vector<std::string> muxers, std::optional<multiformats::PeerId> expected = {})
{
    return {identity_a,
            {.role = Role::initiator, .expected_peer = expected, .muxers = std::move(muxers),
             .static_secret = filled(0x11), .ephemeral_secret = filled(0x12)}};
}

NoiseHandshake make_responder(std::vector<std::string> muxers)
{
    return {identity_b,
            {.role = Role::responder, .muxers = std::move(muxers), .static_secret = filled(0x21),
             .ephemeral_secret = filled(0x22)}};
}

Bytes sealed(FrameSealer& sealer, std::string_view text)
{
    auto frame = Bytes(frame_header);
    append(frame, as_view(text));
    frame.resize(frame.size() + frame_tag);
    sealer.seal(frame);
    return frame;
}

/// Runs both to the end; the first error on either side.
Result<void> shake_hands(NoiseHandshake& initiator, NoiseHandshake& responder, std::size_t step = 1000)
{
    for (auto round = 0; round < 4; ++round) {
        for (auto* const side : {&initiator, &responder}) {
            auto const bytes = side->take_output();
            auto& other = side == &initiator ? responder : initiator;
            for (auto rest = ByteView(bytes); !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
                if (auto pushed = other.push(rest.first(std::min(step, rest.size()))); !pushed) {
                    return pushed;
                }
            }
        }
    }
    return {};
}

}  // namespace

TEST_CASE("noise: handshake and transport frames are byte for byte as the vectors say")
{
    for (auto const& vector : vectors) {
        auto initiator = make_initiator(vector.muxers);
        auto responder = make_responder(vector.muxers);
        auto const first = initiator.take_output();
        CHECK(to_hex(first) == vector.messages[0]);
        CHECK(responder.push(first));
        auto const second = responder.take_output();
        CHECK(to_hex(second) == vector.messages[1]);
        CHECK(initiator.push(second));
        auto const third = initiator.take_output();
        CHECK(to_hex(third) == vector.messages[2]);
        CHECK(responder.push(third));

        auto left = initiator.take_session();
        auto right = responder.take_session();
        CHECK(left.channel_binding.text() == vector.hash);
        CHECK(right.channel_binding.text() == vector.hash);
        CHECK(left.peer.text() == "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq");
        CHECK(right.peer.text() == "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5");
        CHECK(left.muxer == right.muxer);
        CHECK(left.muxer.has_value() == !vector.muxers.empty());
        CHECK(to_hex(sealed(left.sealer, std::string_view("\x13/multistream/1.0.0\n"))) ==
              "0024d1dfc234f6f1b7ebe7b779d0b39ee7129e0d75f3d3f9970ac70fc4962e6a73c2c0f19b35");
        CHECK(to_hex(sealed(left.sealer, "hello")) == "0015afd6cf1703b0b5dcb4201112737ccc73b0935c7a5c");
        CHECK(to_hex(sealed(right.sealer, "world")) == "0015c111a12160a3135900d567bcac9d9be182285ba6f6");
    }
}

TEST_CASE("noise: any split of the bytes gives the same session, and frames behind are kept")
{
    for (auto const step : {1U, 2U, 33U, 1000U}) {
        auto initiator = make_initiator({"/yamux/1.0.0"});
        auto responder = make_responder({"/mplex/6.7.0", "/yamux/1.0.0"});
        CHECK(shake_hands(initiator, responder, step));
        CHECK(initiator.take_session().muxer == "/yamux/1.0.0");
    }
}

TEST_CASE("noise: a peer without the extension leaves the muxer open, disjoint lists are refused")
{
    auto initiator = make_initiator({"/yamux/1.0.0"});
    auto responder = make_responder({});
    CHECK(shake_hands(initiator, responder));
    CHECK_FALSE(initiator.take_session().muxer);
    CHECK_FALSE(responder.take_session().muxer);

    auto disjoint = make_initiator({"/a"});
    auto other = make_responder({"/b"});
    CHECK(shake_hands(disjoint, other).error().kind == ErrorKind::refused);
}

TEST_CASE("noise: another identity than expected is not allowed")
{
    auto const expected = multiformats::PeerId::from_text("12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5").value();
    auto initiator = make_initiator({}, expected);
    auto responder = make_responder({});
    CHECK(shake_hands(initiator, responder).error().kind == ErrorKind::not_allowed);
}

TEST_CASE("noise: a changed byte anywhere in a message ends the handshake")
{
    auto const first = hex(vectors[1].messages[0]);
    auto const second = hex(vectors[1].messages[1]);
    for (std::size_t index = frame_header; index < second.size(); ++index) {
        auto initiator = make_initiator({"/yamux/1.0.0"});
        auto changed = second;
        changed[index] ^= std::byte{1};
        CHECK_FALSE(initiator.push(changed));
    }
    auto responder = make_responder({});
    CHECK(responder.push(hex("0021" + std::string(66, '0'))).error().kind == ErrorKind::malformed);
    auto zero = make_responder({});
    CHECK(zero.push(hex("0020" + std::string(64, '0'))).error().kind == ErrorKind::malformed);
    auto large = make_responder({});
    CHECK(large.push(hex("ffff")).error().kind == ErrorKind::too_large);
}

TEST_CASE("noise: frames open once, in order, and nothing else opens")
{
    auto initiator = make_initiator({});
    auto responder = make_responder({});
    CHECK(shake_hands(initiator, responder));
    auto left = initiator.take_session();
    auto right = responder.take_session();
    auto frame = sealed(left.sealer, "text");
    auto const replay = frame;

    CHECK_FALSE(right.opener.open(MutableByteView(frame).first(frame.size() - 1)).value());
    auto const opened = right.opener.open(frame).value().value();
    CHECK(as_text(opened.plaintext) == "text");
    CHECK(opened.frame_bytes == frame.size());
    auto again = replay;
    CHECK(right.opener.open(again).error().kind == ErrorKind::malformed);
    auto tiny = hex("000fffffffffffffffffffffffffffffffffff");
    CHECK(right.opener.open(tiny).error().kind == ErrorKind::malformed);
}
