#include "muxer/yamux.h"

using namespace plexus;
using namespace plexus::muxer;
using namespace std::chrono_literals;

namespace {

/// Keeps what was received, as a host would, and reads only when it is told to.
struct Application : YamuxEvents {
    std::map<StreamId, std::size_t> held;
    Bytes sent = Bytes(5000, std::byte{'x'});

    bool on_stream(StreamId stream) override
    {
        PLEXUS_ASSERT(held.emplace(stream, 0).second);
        return true;
    }
    void on_data(StreamId stream, ByteView body) override
    {
        PLEXUS_ASSERT(held.contains(stream));
        held[stream] += body.size();
    }
    void on_end(StreamId stream) override { PLEXUS_ASSERT(held.contains(stream)); }
    void on_reset(StreamId stream) override { PLEXUS_ASSERT(held.contains(stream)); }
    void on_sent(StreamId) override {}
    void on_round_trip(Duration) override {}
    void on_go_away(std::uint32_t) override {}
};

struct Script {
    ByteView rest;
    std::size_t take()
    {
        if (rest.empty()) {
            return 0;
        }
        auto const value = std::to_integer<std::size_t>(rest.front());
        rest = rest.subspan(1);
        return value;
    }
    bool over() const { return rest.empty(); }
};

/// A frame as the script wants it; lengths and ids that matter are reached by few bytes.
Bytes frame(Script& script)
{
    constexpr auto lengths = std::array<std::uint32_t, 8>{0, 1, 100, 5000, 65'536, 262'144, 262'145, 0xFFFF'FFFF};
    auto const type = static_cast<FrameHeader::Type>(script.take() % 4);
    auto const flags = static_cast<std::uint16_t>(script.take() % 16);
    auto const stream = static_cast<StreamId>(script.take() % 32);
    auto const length = lengths[script.take() % lengths.size()];
    auto const header = FrameHeader{.type = type, .flags = flags, .stream = stream, .length = length}.encode();
    auto bytes = to_bytes(ByteView(header));
    if (type == FrameHeader::Type::data && length <= 262'144) {
        bytes.resize(bytes.size() + length);
    }
    return bytes;
}

/// What the application on our side does.
void act(YamuxSession& session, Application& application, Script& script, Time now)
{
    auto const action = script.take() % 8;
    auto const stream = static_cast<StreamId>(script.take() % 32);
    auto const known = application.held.contains(stream);
    if (action > 0 && action < 6 && !known) {
        return;
    }
    switch (action) {
    case 0:
        if (auto const opened = session.open_stream()) {
            application.held.emplace(*opened, 0);
        }
        break;
    case 1:
        session.withdraw(stream);
        std::ignore = session.offer(stream, application.sent);
        break;
    case 2: session.close_write(stream); break;
    case 3: session.reset(stream); break;
    case 4: session.consumed(stream, std::exchange(application.held[stream], 0), now); break;
    case 5:
        session.discard(stream, now);
        application.held[stream] = 0;
        break;
    case 6: session.ping(now); break;
    default: {
        auto out = Bytes(1024 + script.take() * 256);
        PLEXUS_ASSERT(session.write_frames(out) <= out.size());
    }
    }
}

}  // namespace

/// Frames and raw bytes of a hostile peer, split as it likes, among what our side does: every limit holds throughout.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const limits = YamuxLimits{.total_window = 1024 * 1024, .inbound_streams = 8, .unacknowledged_streams = 4};
    auto application = Application{};
    auto script = Script{std::as_bytes(std::span(data, std::min<std::size_t>(size, 4096)))};
    auto session = YamuxSession(script.take() % 2 == 0 ? Side::listener : Side::dialer, limits, application);
    auto now = Time{1s};
    auto live = true;
    while (!script.over()) {
        now += 10ms;
        auto const what = script.take();
        if (what % 3 == 0) {
            act(session, application, script, now);
        } else {
            auto const bytes = what % 3 == 1
                                   ? frame(script)
                                   : to_bytes(script.rest.first(std::min<std::size_t>(script.rest.size(), what / 3)));
            script.rest = what % 3 == 1 ? script.rest : script.rest.subspan(bytes.size());
            auto rest = ByteView(bytes);
            auto const step = bytes.size() > 100 ? bytes.size() / 3 : 1 + what / 32;
            while (!rest.empty()) {
                auto const part = rest.first(std::min(step, rest.size()));
                rest = rest.subspan(part.size());
                auto const pushed = session.push(part, now);
                PLEXUS_ASSERT(live || !pushed);
                live = live && pushed.has_value();
            }
        }
        PLEXUS_ASSERT(session.unread() <= limits.total_window);
        PLEXUS_ASSERT(session.streams() <= limits.inbound_streams + limits.unacknowledged_streams + 32);
    }
    auto out = Bytes(65'519);
    for (auto rounds = 0; session.write_frames(out) > 0; ++rounds) {
        PLEXUS_ASSERT(rounds < 2000);
    }
    PLEXUS_ASSERT(!session.has_output());
    return 0;
}
