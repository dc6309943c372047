#include <doctest/doctest.h>

#include "negotiation/multistream.h"

using namespace plexus;
using namespace plexus::negotiation;

namespace {

Responder::Supports only(std::string_view name)
{
    return [name](std::string_view protocol) { return protocol == name; };
}

/// Lets both talk until neither has anything to say, `step` bytes at a time.
Result<void> negotiate(Initiator& initiator, Responder& responder, std::size_t step, ByteView behind = {})
{
    auto forth = initiator.start();
    append(forth, behind);
    auto back = Bytes{};
    for (auto round = 0; round < 100 && (!forth.empty() || !back.empty()); ++round) {
        for (auto rest = ByteView(forth); !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
            if (auto pushed = responder.push(rest.first(std::min(step, rest.size()))); !pushed) {
                return pushed;
            }
        }
        back = responder.take_output();
        for (auto rest = ByteView(back); !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
            if (auto pushed = initiator.push(rest.first(std::min(step, rest.size()))); !pushed) {
                return pushed;
            }
        }
        forth = initiator.take_output();
    }
    return {};
}

}  // namespace

TEST_CASE("multistream: frames are as the vectors say")
{
    CHECK(to_hex(encode_frame("/multistream/1.0.0")) == "132f6d756c746973747265616d2f312e302e300a");
    CHECK(to_hex(encode_frame("na")) == "036e610a");
    CHECK(to_hex(encode_frame("ls")) == "036c730a");
    CHECK(to_hex(encode_frame("/noise")) == "072f6e6f6973650a");
    CHECK(to_hex(encode_frame("/tls/1.0.0")) == "0b2f746c732f312e302e300a");
    CHECK(to_hex(encode_frame("/yamux/1.0.0")) == "0d2f79616d75782f312e302e300a");
    CHECK(to_hex(encode_frame("/ipfs/ping/1.0.0")) == "112f697066732f70696e672f312e302e300a");
    CHECK(to_hex(encode_frame("/ipfs/id/1.0.0")) == "0f2f697066732f69642f312e302e300a");
}

TEST_CASE("multistream: both sides agree whatever the split, and bytes behind are kept")
{
    for (auto const step : {1U, 2U, 3U, 7U, 1000U}) {
        auto initiator = Initiator({"/tls/1.0.0", "/noise"});
        auto responder = Responder(only("/noise"));
        CHECK(negotiate(initiator, responder, step));
        CHECK(initiator.agreed() == "/noise");
        CHECK(responder.agreed() == "/noise");

        auto eager = Initiator({"/noise"});
        auto listener = Responder(only("/noise"));
        CHECK(negotiate(eager, listener, 1000, as_view("first bytes")));
        CHECK(as_text(listener.take_rest()) == "first bytes");
    }
}

TEST_CASE("multistream: no common protocol is refused")
{
    auto initiator = Initiator({"/a", "/b"});
    auto responder = Responder(only("/c"));
    CHECK(negotiate(initiator, responder, 5).error().kind == ErrorKind::refused);
}

TEST_CASE("multistream: ls is answered with the list")
{
    auto responder = Responder(only("/noise"), [] {
        return std::vector<std::string>{"/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"};
    });
    std::ignore = responder.take_output();
    CHECK(responder.push(concatenate({encode_frame(header), encode_frame("ls")})));
    CHECK(to_hex(responder.take_output()) ==
          "23112f697066732f70696e672f312e302e300a0f2f697066732f69642f312e302e300a0a");
}

TEST_CASE("multistream: foreign headers, large frames and endless proposals are errors")
{
    auto responder = Responder(only("/noise"));
    CHECK(responder.push(as_view("\x05GET /")).error().kind == ErrorKind::malformed);
    auto large = Responder(only("/noise"));
    CHECK(large.push(from_hex("818001").value()).error().kind == ErrorKind::too_large);
    auto patient = Responder(only("/noise"));
    CHECK(patient.push(encode_frame(header)));
    auto outcome = Result<void>{};
    for (std::size_t count = 0; count <= max_proposals; ++count) {
        outcome = patient.push(encode_frame("/x"));
    }
    CHECK(outcome.error().kind == ErrorKind::refused);
}
