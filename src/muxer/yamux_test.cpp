#include <doctest/doctest.h>

#include "muxer/yamux.h"

using namespace plexus;
using namespace plexus::muxer;
using namespace std::chrono_literals;

namespace {

Bytes hex(std::string_view text) { return from_hex(text).value(); }

struct Recorder : YamuxEvents {
    std::map<StreamId, Bytes> received;
    std::vector<StreamId> opened, ended, resets, sent;
    std::vector<Duration> round_trips;
    std::optional<std::uint32_t> gone;
    bool accepting = true;

    bool on_stream(StreamId stream) override
    {
        opened.push_back(stream);
        return accepting;
    }
    void on_data(StreamId stream, ByteView body) override { append(received[stream], body); }
    void on_end(StreamId stream) override { ended.push_back(stream); }
    void on_reset(StreamId stream) override { resets.push_back(stream); }
    void on_sent(StreamId stream) override { sent.push_back(stream); }
    void on_round_trip(Duration round_trip) override { round_trips.push_back(round_trip); }
    void on_go_away(std::uint32_t code) override { gone = code; }
};

struct Pair {
    Recorder left_events, right_events;
    YamuxSession left, right;
    Time now{1s};

    explicit Pair(YamuxLimits limits = {})
        : left(Side::dialer, limits, left_events), right(Side::listener, limits, right_events)
    {
    }

    static Bytes output(YamuxSession& session, std::size_t room = 65519)
    {
        auto buffer = Bytes(room);
        buffer.resize(session.write_frames(buffer));
        return buffer;
    }

    /// Moves frames both ways until both are silent, `step` bytes at a time.
    Result<void> flow(std::size_t step = 100'000)
    {
        while (left.has_output() || right.has_output()) {
            for (auto const& [from, to] : {std::pair(&left, &right), std::pair(&right, &left)}) {
                auto const frames = output(*from);
                for (auto rest = ByteView(frames); !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
                    if (auto pushed = to->push(rest.first(std::min(step, rest.size())), now); !pushed) {
                        return pushed;
                    }
                }
            }
        }
        return {};
    }
};

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

TEST_CASE("yamux: data flows both ways in any split, half-close ends one direction")
{
    for (auto const step : {1U, 5U, 12U, 13U, 100'000U}) {
        auto pair = Pair{};
        auto const stream = pair.left.open_stream().value();
        auto const large = Bytes(200'000, std::byte{7});
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
        CHECK(pair.left.streams() == 0);
        CHECK(pair.right.streams() == 0);
    }
}

TEST_CASE("yamux: a sender stops at the window and goes on when the reader has read")
{
    auto pair = Pair{};
    auto const stream = pair.left.open_stream().value();
    auto const large = Bytes(1'000'000);
    CHECK(pair.left.offer(stream, large));
    CHECK(pair.flow());
    CHECK(pair.right_events.received[stream].size() == 256 * 1024);
    CHECK(pair.left_events.sent.empty());

    while (pair.left_events.sent.empty()) {
        auto const unread = std::exchange(pair.right_events.received[stream], {}).size();
        REQUIRE(unread > 0);
        pair.right.consumed(stream, unread, pair.now);
        CHECK(pair.flow());
    }
}

TEST_CASE("yamux: the window doubles while it is used up within four round trips, up to its limits")
{
    auto pair = Pair(YamuxLimits{.max_window = 1024 * 1024});
    CHECK(pair.right.ping(pair.now));
    auto const question = Pair::output(pair.right);
    CHECK(pair.left.push(question, pair.now));
    auto const answer = Pair::output(pair.left);
    CHECK(pair.right.push(answer, pair.now + 20ms));
    auto const stream = pair.left.open_stream().value();
    auto const large = Bytes(8'000'000);
    CHECK(pair.left.offer(stream, large));

    std::size_t largest = 0;
    while (pair.left_events.sent.empty()) {
        CHECK(pair.flow());
        auto const unread = std::exchange(pair.right_events.received[stream], {}).size();
        largest = std::max(largest, unread);
        pair.now += 10ms;
        pair.right.consumed(stream, unread, pair.now);
    }
    CHECK(largest == 1024 * 1024);
    CHECK(pair.right_events.round_trips == std::vector{Duration(20ms)});
}

TEST_CASE("yamux: streams take turns")
{
    auto pair = Pair{};
    auto const first = pair.left.open_stream().value();
    auto const second = pair.left.open_stream().value();
    auto const large = Bytes(100'000);
    CHECK(pair.left.offer(first, large));
    CHECK(pair.left.offer(second, as_view("small")));

    auto buffer = Bytes(40'000);
    auto one = pair.left.write_frames(buffer);
    CHECK(pair.right.push(ByteView(buffer).first(one), pair.now));
    one = pair.left.write_frames(buffer);
    CHECK(pair.right.push(ByteView(buffer).first(one), pair.now));

    CHECK(as_text(pair.right_events.received[second]) == "small");
    CHECK(pair.left_events.sent == std::vector{second});
}

TEST_CASE("yamux: what breaks the protocol ends the session with a GoAway")
{
    auto const attacks = std::array{
        "010000000000000000000000",                          // version
        "000400000000000100000000",                          // type
        "000000000000000000000001",                          // data on stream 0
        "000100010000000200000000",                          // our own parity
        "000100010000000100000000000100010000000100000000",  // opened twice
        "000000010000000100040001",                          // first frame over the window
        "0001000100000001ffffffff000100000000000100000001",  // send window over 32 bits
        "000100050000000100000000000000000000000100000001",  // data behind FIN
    };
    for (auto const* attack : attacks) {
        CAPTURE(attack);
        auto pair = Pair{};
        CHECK(pair.right.push(hex(attack), pair.now).error().kind == ErrorKind::malformed);
        CHECK(to_hex(Pair::output(pair.right)) == "000300000000000000000001");
        CHECK(pair.right.push(hex("00"), pair.now).error().kind == ErrorKind::closed);
    }
}

TEST_CASE("yamux: frames of streams that are gone are dropped without an answer")
{
    auto pair = Pair{};
    CHECK(pair.right.push(hex("000000000000000500000003aabbcc000100000000000700000005"), pair.now));
    CHECK(pair.right.push(hex("000100080000000900000000"), pair.now));
    CHECK_FALSE(pair.right.has_output());
    CHECK(pair.right_events.received.empty());
}

TEST_CASE("yamux: streams over the limit and refused ones are reset")
{
    auto pair = Pair(YamuxLimits{.inbound_streams = 2});
    for (auto count = 0; count < 3; ++count) {
        CHECK(pair.left.open_stream());
    }
    CHECK(pair.flow());
    CHECK(pair.right.streams() == 2);
    CHECK(pair.left_events.resets == std::vector<StreamId>{5});

    pair.right_events.accepting = false;
    pair.left.reset(1);
    CHECK(pair.left.open_stream());
    CHECK(pair.flow());
    CHECK(pair.left_events.resets == std::vector<StreamId>{5, 7});
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

TEST_CASE("yamux: a peer that floods pings and does not read ends the session, not our memory")
{
    auto pair = Pair{};
    auto outcome = Result<void>{};
    for (auto count = 0; outcome && count < 2000; ++count) {
        outcome = pair.right.push(hex("000200010000000000000007"), pair.now);
    }
    CHECK(outcome.error().kind == ErrorKind::too_large);
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
