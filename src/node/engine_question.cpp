#include "node/engine_question.h"

namespace plexus::node {

namespace {

constexpr auto answer_limit = std::chrono::seconds(10);

Task<Result<stream::EngineFrame>> first_frame(ByteStream& channel)
{
    auto decoder = stream::EngineFrameDecoder(stream::max_from_engine);
    auto buffer = Bytes(4096);
    for (;;) {
        auto const count = co_await channel.read_some(buffer);
        if (!count || *count == 0) {
            co_return fail(ErrorKind::closed, "the engine ended without a word");
        }
        decoder.push(ByteView(buffer).first(*count));
        auto frame = decoder.next();
        if (!frame) {
            co_return std::unexpected(frame.error());
        }
        if (*frame) {
            co_return std::move(**frame);
        }
    }
}

}  // namespace

Task<Result<stream::EngineFrame>> ask_engine(Env& env, ProcessOptions options)
{
    auto const process = env.processes().start(std::move(options));
    if (!process) {
        co_return std::unexpected(process.error());
    }
    auto const deadline = env.deadline_in(answer_limit);
    co_return co_await with_deadline(env, deadline, first_frame((*process)->channel()));
}

}  // namespace plexus::node
