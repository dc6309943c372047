#include "stream/messages.h"

#include <boost/asio/detached.hpp>

using namespace plexus;
using namespace plexus::stream;

namespace {

constexpr std::size_t limit = 3000;

/// Gives `bytes` in parts of `step`, then an orderly end.
class Scripted final : public ByteStream {
public:
    Scripted(ByteView bytes, std::size_t step) : rest_(bytes), step_(step) {}

    Task<Result<std::size_t>> read_some(MutableByteView buffer) override
    {
        auto const part = rest_.first(std::min({step_, rest_.size(), buffer.size()}));
        std::ranges::copy(part, buffer.begin());
        rest_ = rest_.subspan(part.size());
        co_return part.size();
    }
    Task<Result<void>> write(ByteView) override { co_return Result<void>{}; }
    Task<Result<void>> close_write() override { co_return Result<void>{}; }
    void reset() override {}

private:
    ByteView rest_;
    std::size_t step_;
};

Task<> collect(ByteView bytes, std::size_t step, Bytes& messages, ErrorKind& ending)
{
    auto stream = Scripted(bytes, step);
    for (;;) {
        auto const message = co_await read_message(stream, limit);
        if (!message) {
            ending = message.error().kind;
            co_return;
        }
        PLEXUS_ASSERT(message->size() <= limit);
        append(messages, frame_message(*message));
    }
}

/// The messages in `bytes`, framed again, and how reading ended.
std::pair<Bytes, ErrorKind> read_all(ByteView bytes, std::size_t step)
{
    auto context = asio::io_context(1);
    auto outcome = std::pair(Bytes{}, ErrorKind::cancelled);
    asio::co_spawn(context.get_executor(), collect(bytes, step, outcome.first, outcome.second), asio::detached);
    context.run();
    return outcome;
}

}  // namespace

/// However the bytes are split, the same messages come out as they were framed; every end is one of three.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const whole = read_all(bytes, std::max<std::size_t>(size, 1));
    PLEXUS_ASSERT(whole == read_all(bytes, 1));
    auto const [messages, ending] = whole;
    PLEXUS_ASSERT(messages.size() <= size && std::ranges::equal(messages, bytes.first(messages.size())));
    PLEXUS_ASSERT(ending == ErrorKind::closed ? messages.size() == size
                                              : ending == ErrorKind::malformed || ending == ErrorKind::too_large);
    return 0;
}
