#include <doctest/doctest.h>

#include "muxer/yamux_testing.h"

using namespace plexus;
using namespace plexus::muxer;

namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

Bytes frame(FrameHeader::Type type, unsigned flags, StreamId stream, std::uint32_t length)
{
    return to_bytes(FrameHeader{.type = type, .flags = static_cast<std::uint16_t>(flags), .stream = stream, .length = length}
                        .encode());
}

Bytes opening(StreamId stream)
{
    return frame(FrameHeader::Type::window_update, FrameHeader::syn, stream, 0);
}

}  // namespace

TEST_CASE("yamux: what breaks the protocol ends the session with a GoAway")
{
    auto const attacks = std::array{
        "010000000000000000000000",                          // version
        "000400000000000100000000",                          // type
        "000000000000000000000001",                          // data on stream 0
        "000100000000000000000001",                          // credit on stream 0
        "000100010000000000000000",                          // opened with id 0
        "000100010000000200000000",                          // our own parity
        "000100010000000100000000000100010000000100000000",  // opened twice
        "000100010000000100000000000100080000000100000000000100010000000100000000",  // opened again after a reset
        "000000010000000100040001",                          // first frame over the window
        "0000000100000001ffffffff",                          // first frame far over the window
        "000100010000000100000000000000000000000100040001",  // later frame over the window
        "0001000100000001ffffffff",                          // first credit over 32 bits
        "0001000100000001fff00000000100000000000100100000",  // credit over 32 bits in steps
        "000100050000000100000000000000000000000100000001",  // data behind FIN
    };
    for (auto const* attack : attacks) {
        CAPTURE(attack);
        auto pair = Pair{};
        CHECK(pair.right.push(hex(attack), pair.now).error().kind == ErrorKind::malformed);
        CHECK(to_hex(Pair::output(pair.right)) == "000300000000000000000001");
        CHECK(pair.right.push(hex("00"), pair.now).error().kind == ErrorKind::closed);
        CHECK(pair.right.open_stream().error().kind == ErrorKind::closed);
        CHECK_FALSE(pair.right.ping(pair.now));
        CHECK(pair.right.unread() == 0);
        CHECK(pair.right_events.received.empty());
    }
}

TEST_CASE("yamux: a first frame over the window registers no stream (CVE-2026-32314)")
{
    auto pair = Pair{};
    CHECK_FALSE(pair.right.push(frame(FrameHeader::Type::data, FrameHeader::syn, 1, 262145), pair.now));
    CHECK(pair.right.streams() == 0);
    CHECK(pair.right_events.opened.empty());
}

TEST_CASE("yamux: frames of streams that are gone are dropped without an answer")
{
    auto pair = Pair{};
    CHECK(pair.right.push(hex("000000000000000500000003aabbcc000100000000000700000005"), pair.now));
    CHECK(pair.right.push(hex("000100080000000900000000000100040000000b00000000"), pair.now));
    CHECK_FALSE(pair.right.has_output());
    CHECK(pair.right_events.received.empty());
    CHECK(pair.right_events.opened.empty());
}

TEST_CASE("yamux: ids may come out of order, but never twice")
{
    auto pair = Pair{};
    for (StreamId const stream : {5U, 1U, 3U, 1999U, 7U}) {
        CHECK(pair.right.push(opening(stream), pair.now));
    }
    CHECK(pair.right.streams() == 5);
    CHECK(pair.right.push(opening(1U << 20 | 1U), pair.now));
    CHECK(pair.right.push(opening(0xffffffff), pair.now));
    CHECK_FALSE(pair.right.push(opening(9), pair.now));
}

TEST_CASE("used ids: each is taken once, within reach of the newest")
{
    auto ids = UsedIds{};
    for (StreamId id = 2; id < 10'000; id += 2) {
        CHECK(ids.take(id));
        CHECK_FALSE(ids.take(id));
    }
    CHECK(ids.take(10'100));
    CHECK(ids.take(10'050));
    CHECK_FALSE(ids.take(10'050));
    CHECK_FALSE(ids.take(10'100 - 2 * UsedIds::reach));
    CHECK(ids.take(0xfffffffe));
    CHECK_FALSE(ids.take(10'052));
}

TEST_CASE("yamux: streams over the limit and refused ones are reset, and their first bytes dropped")
{
    auto pair = Pair(YamuxLimits{.inbound_streams = 2});
    for (auto count = 0; count < 3; ++count) {
        CHECK(pair.left.offer(pair.left.open_stream().value(), as_view("first")));
    }
    CHECK(pair.flow());
    CHECK(pair.right.streams() == 2);
    CHECK(pair.left_events.resets == std::vector<StreamId>{5});
    CHECK_FALSE(pair.right_events.received.contains(5));

    pair.right_events.accepting = false;
    pair.left.reset(1);
    CHECK(pair.left.open_stream());
    CHECK(pair.flow());
    CHECK(pair.left_events.resets == std::vector<StreamId>{5, 7});
}

TEST_CASE("yamux: a peer that floods pings and does not read ends the session, not our memory")
{
    auto pair = Pair{};
    auto outcome = Result<void>{};
    for (auto count = 0; outcome && count < 2000; ++count) {
        outcome = pair.right.push(hex("000200010000000000000007"), pair.now);
    }
    CHECK(outcome.error().kind == ErrorKind::too_large);
    CHECK(Pair::output(pair.right).size() <= 1024 * FrameHeader::size);
}

TEST_CASE("yamux: a peer that makes us refuse streams and does not read ends the session (CVE-2024-32984)")
{
    auto pair = Pair(YamuxLimits{.inbound_streams = 0});
    auto outcome = Result<void>{};
    for (StreamId stream = 1; outcome && stream < 4000; stream += 2) {
        outcome = pair.right.push(opening(stream), pair.now);
    }
    CHECK(outcome.error().kind == ErrorKind::too_large);
}

TEST_CASE("yamux: streams opened and reset at once leave nothing behind, even if nothing is read")
{
    auto pair = Pair{};
    for (StreamId stream = 1; stream < 100'000; stream += 2) {
        CHECK(pair.right.push(opening(stream), pair.now));
        CHECK(pair.right.push(frame(FrameHeader::Type::window_update, FrameHeader::rst, stream, 0), pair.now));
    }
    CHECK(pair.right.streams() == 0);
    CHECK_FALSE(pair.right.has_output());

    CHECK(pair.right.push(frame(FrameHeader::Type::data, FrameHeader::syn | FrameHeader::rst, 100'001, 0), pair.now));
    CHECK(pair.right_events.opened.size() == 50'000);
}

TEST_CASE("yamux: unread bytes of all streams together are bounded; the stream that passes the bound is reset")
{
    auto pair = Pair(YamuxLimits{.total_window = 600 * 1024});
    auto const large = Bytes(256 * 1024);
    for (auto count = 0; count < 3; ++count) {
        CHECK(pair.left.offer(pair.left.open_stream().value(), large));
    }
    CHECK(pair.flow());

    CHECK(pair.right.unread() <= 600 * 1024);
    CHECK(pair.right.streams() == 2);
    CHECK(pair.right_events.resets.size() == 1);
    CHECK(pair.left_events.resets == pair.right_events.resets);
}

TEST_CASE("yamux: cut off at every byte, a session waits for more and a fresh one is never harmed")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    CHECK(pair.left.offer(stream, as_view("some bytes")));
    pair.left.close_write(stream);
    CHECK(pair.left.ping(pair.now));
    auto const whole = Pair::output(pair.left);

    for (std::size_t size = 0; size < whole.size(); ++size) {
        auto listener = Pair{};
        CHECK(listener.right.push(ByteView(whole).first(size), listener.now));
        CHECK(listener.right_events.ended.empty());
        CHECK(listener.right.push(ByteView(whole).subspan(size), listener.now));
        CHECK(as_text(listener.right_events.received[stream]) == "some bytes");
        CHECK(listener.right_events.ended == std::vector{stream});
    }
}

TEST_CASE("yamux: a body for nobody does not become that of a stream which is opened before it has come whole")
{
    auto pair = Pair{};
    auto const body = Bytes(10);
    CHECK(pair.left.push(frame(FrameHeader::Type::data, 0, 1, 10), pair.now));
    CHECK(pair.left.push(ByteView(body).first(4), pair.now));

    auto const stream = pair.left.open_stream().value();
    CHECK(pair.left.push(ByteView(body).subspan(4), pair.now));

    CHECK(stream == 1);
    CHECK(pair.left_events.received[stream].empty());
    CHECK(pair.left.unread() == 0);
}
