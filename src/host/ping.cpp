#include "host/ping.h"

#include "stream/messages.h"

namespace plexus::host {

namespace {

constexpr std::size_t ping_size = 32;

Task<Result<Bytes>> echo_of(Stream& stream, ByteView question)
{
    auto const written = co_await stream.write(question);
    if (!written) {
        co_return std::unexpected(written.error());
    }
    auto answer = Bytes(ping_size);
    auto const read = co_await stream::read_exactly(stream, answer);
    if (!read) {
        co_return std::unexpected(read.error());
    }
    co_return answer;
}

}  // namespace

Task<> serve_ping(std::unique_ptr<Stream> stream)
{
    auto buffer = std::array<std::byte, ping_size>{};
    for (;;) {
        auto const read = co_await stream::read_exactly(*stream, buffer);
        if (!read) {
            if (read.error().kind == ErrorKind::closed) {
                std::ignore = co_await stream->close_write();
            }
            co_return;
        }
        auto const written = co_await stream->write(buffer);
        if (!written) {
            co_return;
        }
    }
}

Task<Result<Duration>> measure_ping(Env& env, Stream& stream, Deadline deadline)
{
    auto const sent = env.random("ping").bytes(ping_size);
    auto const start = env.now();
    auto const answer = co_await with_deadline(env, deadline, echo_of(stream, sent));
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const took = env.now() - start;
    if (*answer != sent) {
        stream.reset();
        co_return fail(ErrorKind::malformed, "a ping came back changed");
    }
    std::ignore = co_await stream.close_write();
    co_return took;
}

}  // namespace plexus::host
