#include <doctest/doctest.h>

#include "muxer/yamux_testing.h"

using namespace plexus;
using namespace plexus::muxer;
using namespace std::chrono_literals;

namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

Bytes pattern(std::size_t size)
{
    auto bytes = Bytes(size);
    for (std::size_t index = 0; index < size; ++index) {
        bytes[index] = static_cast<std::byte>(index * 7 + index / 251);
    }
    return bytes;
}

/// `right` learns a round trip of `round_trip`.
void measure(Pair& pair, Duration round_trip)
{
    CHECK(pair.right.ping(pair.now));
    CHECK(pair.left.push(Pair::output(pair.right), pair.now));
    pair.now += round_trip;
    CHECK(pair.right.push(Pair::output(pair.left), pair.now));
}

}  // namespace

TEST_CASE("yamux: frames are as the vectors say")
{
    auto pair = Pair{};
    auto const first = pair.left.open_stream().value();
    CHECK(first == 1);
    CHECK(to_hex(Pair::output(pair.left)) == "000100010000000100000000");
    CHECK(pair.right.push(hex("000100010000000100000000"), pair.now));
    CHECK(to_hex(Pair::output(pair.right)) == "000100020000000100000000");

    auto const second = pair.left.open_stream().value();
    CHECK(pair.left.offer(second, as_view("hello")));
    CHECK(to_hex(Pair::output(pair.left)) == "000000010000000300000005" + to_hex(as_view("hello")));
    pair.left.close_write(first);
    CHECK(to_hex(Pair::output(pair.left)) == "000100040000000100000000");
    pair.left.reset(first);
    CHECK(to_hex(Pair::output(pair.left)) == "000100080000000100000000");
    CHECK(pair.left.ping(pair.now));
    CHECK(to_hex(Pair::output(pair.left)) == "000200010000000000000001");
    CHECK(pair.right.push(hex("000200010000000000000007"), pair.now));
    CHECK(to_hex(Pair::output(pair.right)) == "000200020000000000000007");
    pair.left.go_away(GoAwayCode::normal);
    CHECK(to_hex(Pair::output(pair.left)) == "000300000000000000000000");
}

TEST_CASE("yamux: credit goes back in one frame once half the window was read")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    auto const body = pattern(256 * 1024);
    CHECK(pair.left.offer(stream, body));
    CHECK(pair.flow());

    pair.right.consumed(stream, 131071, pair.now);
    CHECK_FALSE(pair.right.has_output());
    pair.right.consumed(stream, 1, pair.now);
    CHECK(to_hex(Pair::output(pair.right)) == "000100000000000100020000");
}

TEST_CASE("yamux: several steps of credit wait as one frame")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    auto const body = pattern(256 * 1024);
    CHECK(pair.left.offer(stream, body));
    CHECK(pair.flow());

    pair.right.consumed(stream, 128 * 1024, pair.now);
    pair.right.consumed(stream, 128 * 1024, pair.now);

    CHECK(to_hex(Pair::output(pair.right)) == "000100000000000100040000");
}

TEST_CASE("yamux: data flows both ways in any split, half-close ends one direction")
{
    for (auto const step : {1U, 5U, 12U, 13U, 100'000U}) {
        auto pair = Pair{};
        auto const stream = pair.left.open_stream().value();
        auto const large = pattern(200'000);
        CHECK(pair.left.offer(stream, large));
        pair.left.close_write(stream);
        CHECK(pair.flow(step));

        CHECK(pair.right_events.received[stream] == large);
        CHECK(pair.right_events.ended == std::vector{stream});
        CHECK(pair.left_events.sent == std::vector{stream});
        CHECK(pair.right.offer(stream, as_view("answer")));
        pair.right.close_write(stream);
        CHECK(pair.flow(step));
        CHECK(as_text(pair.left_events.received[stream]) == "answer");
        pair.left.consumed(stream, 6, pair.now);
        pair.right.consumed(stream, large.size(), pair.now);
        CHECK(pair.left.streams() == 0);
        CHECK(pair.right.streams() == 0);
        CHECK(pair.right.unread() == 0);
    }
}

TEST_CASE("yamux: an end that overtakes nothing: our own end between two parts of the last frame loses no byte")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    auto const body = pattern(1000);
    CHECK(pair.left.offer(stream, body));
    pair.left.close_write(stream);
    auto const frames = Pair::output(pair.left);
    CHECK(pair.right.push(ByteView(frames).first(500), pair.now));
    pair.right.close_write(stream);
    std::ignore = Pair::output(pair.right);
    CHECK(pair.right_events.ended.empty());

    CHECK(pair.right.push(ByteView(frames).subspan(500), pair.now));

    CHECK(pair.right_events.received[stream] == body);
    CHECK(pair.right_events.ended == std::vector{stream});
}

TEST_CASE("yamux: a stream that ended stays until its bytes were read")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    CHECK(pair.left.offer(stream, as_view("unread")));
    pair.left.close_write(stream);
    pair.right.close_write(stream);
    CHECK(pair.flow());
    pair.right.close_write(stream);
    CHECK(pair.flow());
    CHECK(pair.left.streams() == 0);
    CHECK(pair.right.streams() == 1);
    CHECK(pair.right.unread() == 6);

    pair.right.consumed(stream, 6, pair.now);

    CHECK(pair.right.streams() == 0);
}

TEST_CASE("yamux: a sender stops at the window and goes on when the reader has read")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    auto const large = pattern(1'000'000);
    CHECK(pair.left.offer(stream, large));
    CHECK(pair.flow());
    CHECK(pair.right_events.received[stream].size() == 256 * 1024);
    CHECK(pair.left_events.sent.empty());

    auto whole = Bytes{};
    while (pair.left_events.sent.empty()) {
        append(whole, pair.right_events.received[stream]);
        REQUIRE(pair.read_right(stream) > 0);
        CHECK(pair.flow());
    }
    append(whole, pair.right_events.received[stream]);
    CHECK(whole == large);
}

TEST_CASE("yamux: the window doubles while it is used up within four round trips, up to its limit")
{
    auto pair = Pair(YamuxLimits{.max_window = 1024 * 1024});
    measure(pair, 20ms);
    auto const stream = pair.left.open_stream().value();
    auto const large = Bytes(8'000'000);
    CHECK(pair.left.offer(stream, large));

    std::size_t largest = 0;
    while (pair.left_events.sent.empty()) {
        CHECK(pair.flow());
        pair.now += 10ms;
        largest = std::max(largest, pair.read_right(stream));
    }
    CHECK(largest == 1024 * 1024);
    CHECK(pair.right_events.round_trips == std::vector{Duration(20ms)});
}

TEST_CASE("yamux: the window stays when reading is slow, and all windows together keep their limit")
{
    auto slow = Pair{};
    measure(slow, 1ms);
    auto const stream = slow.left.open_stream().value();
    auto const large = Bytes(4'000'000);
    CHECK(slow.left.offer(stream, large));
    while (slow.left_events.sent.empty()) {
        CHECK(slow.flow());
        slow.now += 100ms;
        CHECK(slow.read_right(stream) <= 256 * 1024);
    }

    auto full = Pair(YamuxLimits{.total_window = 768 * 1024});
    measure(full, 20ms);
    auto const first = full.left.open_stream().value();
    auto const second = full.left.open_stream().value();
    CHECK(full.left.offer(first, large));
    CHECK(full.left.offer(second, large));
    while (full.left_events.sent.size() < 2) {
        CHECK(full.flow());
        CHECK(full.right.unread() <= 768 * 1024);
        full.read_right(first);
        full.read_right(second);
    }
}

TEST_CASE("yamux: streams take turns")
{
    auto pair = Pair{};
    auto const first = pair.left.open_stream().value();
    auto const second = pair.left.open_stream().value();
    auto const large = Bytes(100'000);
    CHECK(pair.left.offer(first, large));
    CHECK(pair.left.offer(second, as_view("small")));

    CHECK(pair.right.push(Pair::output(pair.left, 40'000), pair.now));
    CHECK(pair.right.push(Pair::output(pair.left, 40'000), pair.now));

    CHECK(as_text(pair.right_events.received[second]) == "small");
    CHECK(pair.left_events.sent == std::vector{second});
}

TEST_CASE("yamux: several small frames share one buffer, and a full one cuts at a frame")
{
    auto pair = Pair{};
    for (auto count = 0; count < 3; ++count) {
        CHECK(pair.left.offer(pair.left.open_stream().value(), as_view("small")));
    }
    CHECK(Pair::output(pair.left).size() == 3 * (12 + 5));

    auto const large = Bytes(5000);
    CHECK(pair.left.offer(pair.left.open_stream().value(), large));
    auto const part = Pair::output(pair.left, 1024);
    CHECK(to_hex(ByteView(part).first(12)) == "0000000100000007000003f4");
    CHECK(part.size() == 1024);
}

TEST_CASE("yamux: own streams wait when too many are unanswered")
{
    auto pair = Pair(YamuxLimits{.unacknowledged_streams = 2});
    CHECK(pair.left.open_stream());
    CHECK(pair.left.open_stream());
    CHECK(pair.left.open_stream().error().kind == ErrorKind::unavailable);
    CHECK(pair.flow());
    CHECK(pair.left.open_stream());
}

TEST_CASE("yamux: a reset drops both directions and what was offered")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    CHECK(pair.flow());
    auto const large = Bytes(1'000'000);
    CHECK(pair.left.offer(stream, large));
    pair.right.reset(stream);
    CHECK(pair.flow());
    CHECK(pair.left_events.resets == std::vector{stream});
    CHECK_FALSE(pair.left.offer(stream, large));
    CHECK(pair.left.streams() == 0);
    CHECK(pair.right.streams() == 0);
}

TEST_CASE("yamux: a stream that was reset before its first frame is never heard of")
{
    auto pair = Pair{};
    pair.left.reset(pair.left.open_stream().value());
    CHECK(Pair::output(pair.left).empty());
}

TEST_CASE("yamux: an error code beside a reset is no credit")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    CHECK(pair.flow());
    CHECK(pair.left.push(hex("0001000800000001ffffffff"), pair.now));
    CHECK(pair.left_events.resets == std::vector{stream});
}

TEST_CASE("yamux: after a GoAway no stream opens, those that live go on")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    CHECK(pair.flow());
    pair.right.go_away(GoAwayCode::normal);
    CHECK(pair.flow());

    CHECK(pair.left_events.gone == 0U);
    CHECK(pair.left.open_stream().error().kind == ErrorKind::closed);
    CHECK(pair.left.offer(stream, as_view("still here")));
    CHECK(pair.flow());
    CHECK(as_text(pair.right_events.received[stream]) == "still here");
}

TEST_CASE("yamux: only the answer to our own question counts as a round trip")
{
    auto pair = Pair{};
    CHECK(pair.left.ping(pair.now));
    CHECK_FALSE(pair.left.ping(pair.now));
    CHECK(pair.left.push(hex("000200020000000000000009"), pair.now + 1ms));
    CHECK_FALSE(pair.left.round_trip());
    CHECK(pair.left.push(hex("000200020000000000000001"), pair.now + 5ms));
    CHECK(pair.left.round_trip() == Duration(5ms));
    CHECK(pair.left.ping(pair.now));
}

TEST_CASE("yamux: what nobody reads is dropped while our own direction goes on")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    auto const large = Bytes(1'000'000);
    CHECK(pair.left.offer(stream, large));
    CHECK(pair.flow());
    pair.right_events.received.clear();

    pair.right.discard(stream, pair.now);
    CHECK(pair.right.offer(stream, as_view("the answer")));
    pair.right.close_write(stream);
    CHECK(pair.flow());

    CHECK(pair.right_events.received.empty());
    CHECK(pair.right.unread() == 0);
    CHECK(as_text(pair.left_events.received[stream]) == "the answer");
    CHECK(pair.left_events.resets == std::vector{stream});
    CHECK(pair.right_events.resets == std::vector{stream});
    CHECK(pair.right.streams() == 0);
}

TEST_CASE("yamux: a discarded stream that ends within its window ends in order")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    CHECK(pair.left.offer(stream, as_view("nobody reads this")));
    CHECK(pair.flow());
    pair.right.close_write(stream);
    pair.right.discard(stream, pair.now);
    pair.left.close_write(stream);
    CHECK(pair.flow());

    CHECK(pair.left_events.ended == std::vector{stream});
    CHECK(pair.right_events.ended == std::vector{stream});
    CHECK(pair.left_events.resets.empty());
    CHECK(pair.left.streams() + pair.right.streams() == 0);
}
