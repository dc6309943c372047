#include <doctest/doctest.h>

#include "multiformats/protobuf.h"
#include "scheduling/task_message.h"

using namespace plexus;
using namespace plexus::scheduling;
using namespace std::chrono_literals;
using multiformats::ProtobufWriter;

namespace {

Start full_start()
{
    return {"request-1", crypto::sha256(as_view("model")), TaskKind::embeddings, R"({"input":"a"})", 90s};
}

Result<Reply> read(Reply const& reply)
{
    auto reader = ReplyReader{};
    if (!std::holds_alternative<Accepted>(reply)) {
        std::ignore = reader.take(encode(Accepted{}));
    }
    return reader.take(encode(reply));
}

/// Whether the last of some replies is in its order.
bool in_order(std::vector<Reply> const& replies)
{
    auto reader = ReplyReader{};
    for (std::size_t index = 0; index + 1 < replies.size(); ++index) {
        CHECK(reader.take(encode(replies[index])));
    }
    return reader.take(encode(replies.back())).has_value();
}

}  // namespace

TEST_CASE("task messages: what is written is read again")
{
    CHECK(decode_start(encode(full_start())).value() == full_start());
    CHECK(std::get<Chunk>(read(Chunk{0, "{}"}).value()) == Chunk{0, "{}"});
    CHECK(std::get<Chunk>(read(Chunk{0, "{}", {0, 127, UINT32_MAX}}).value()) == Chunk{0, "{}", {0, 127, UINT32_MAX}});
    CHECK(std::get<Progress>(read(Progress{Progress::Stage::queued, 3}).value()) == Progress{Progress::Stage::queued, 3});
    auto const timings = std::get<Done>(read(Done{{3, 2, 383.25, 156.5}}).value()).timings;
    CHECK(timings.prompt_tokens == 3);
    CHECK(timings.prefill_per_second == 383.25);
    CHECK(std::get<Failed>(read(Failed{{ErrorKind::too_large, "why"}}).value()).error == Error{ErrorKind::too_large, "why"});
    CHECK(std::get<Done>(read(Done{{1, 1, -1, std::numeric_limits<double>::infinity()}}).value()).timings.prefill_per_second == 0);
}

TEST_CASE("task messages: unknown fields are skipped, an unknown stage is work, two replies in one are refused")
{
    auto bytes = encode(full_start());
    append(bytes, ProtobufWriter{}.text(99, "future").take());
    CHECK(decode_start(bytes).value() == full_start());
    auto const stage = ProtobufWriter{}.bytes(2, ProtobufWriter{}.varint(1, 77).take()).take();
    auto reader = ReplyReader{};
    CHECK(reader.take(encode(Accepted{})));
    CHECK(std::get<Progress>(reader.take(stage).value()).stage == Progress::Stage::computing);
    auto const both = concatenate({encode(Accepted{}), encode(Done{})});
    CHECK(ReplyReader{}.take(both).error().kind == ErrorKind::malformed);
    CHECK(ReplyReader{}.take(ProtobufWriter{}.text(9, "x").take()).error().kind == ErrorKind::malformed);
}

TEST_CASE("task messages: a Start without a kind is a chat, one of an unknown kind is refused for others to take")
{
    auto start = full_start();
    start.kind = TaskKind::chat;
    auto const whole = encode(start);
    auto const without_kind = ByteView(whole).first(whole.size() - 2);
    CHECK(decode_start(without_kind).value() == start);
    for (auto const kind : {7ULL, 1ULL << 32, ~0ULL}) {
        auto const unknown = concatenate({to_bytes(without_kind), ProtobufWriter{}.varint(5, kind).take()});
        CHECK(decode_start(unknown).error().kind == ErrorKind::unavailable);
    }
}

TEST_CASE("task messages: cut off anywhere, a message is malformed or a shorter one")
{
    auto const whole = encode(full_start());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        auto const start = decode_start(ByteView(whole).first(size));
        CHECK((!start || *start != full_start()));
    }
}

TEST_CASE("task messages: what is over a limit is refused")
{
    CHECK(decode_start(Bytes(max_start_bytes + 1)).error().kind == ErrorKind::too_large);
    CHECK(decode_start(ProtobufWriter{}.text(3, std::string(max_body_bytes + 1, 'x')).take()).error().kind == ErrorKind::too_large);
    CHECK(decode_start(ProtobufWriter{}.text(2, "short").take()).error().kind == ErrorKind::malformed);
    CHECK(decode_start(ProtobufWriter{}.varint(4, UINT64_MAX).take()).value().limit > 1h);
    auto largest = full_start();
    largest.task_id = std::string(1000, 'x');
    largest.body = std::string(max_body_bytes, 'x');
    CHECK(encode(largest).size() <= max_start_bytes);
    auto tokens = std::vector<std::uint32_t>(inference::max_part_tokens, UINT32_MAX);
    CHECK(encode(Chunk{UINT64_MAX, std::string(max_chunk_bytes, 'x'), tokens}).size() <= max_reply_bytes);
    tokens.push_back(0);
    CHECK(read(Chunk{0, "{}", tokens}).error().kind == ErrorKind::too_large);
}

TEST_CASE("task replies: Accepted, Progress and Chunks without a gap, Done or Failed, and no other order")
{
    auto const accepted = Reply(Accepted{});
    auto const progress = Reply(Progress{});
    CHECK(in_order({accepted, progress, Chunk{0, ""}, progress, Chunk{1, ""}, Done{}}));
    CHECK(in_order({Failed{}}));
    CHECK(in_order({accepted, Failed{}}));
    CHECK_FALSE(in_order({progress}));
    CHECK_FALSE(in_order({Chunk{0, ""}}));
    CHECK_FALSE(in_order({Done{}}));
    CHECK_FALSE(in_order({accepted, accepted}));
    CHECK_FALSE(in_order({accepted, Chunk{1, ""}}));
    CHECK_FALSE(in_order({accepted, Chunk{0, ""}, Chunk{0, ""}}));
    for (auto const& end : {Reply(Done{}), Reply(Failed{})}) {
        CHECK_FALSE(in_order({accepted, end, progress}));
        CHECK_FALSE(in_order({accepted, end, Failed{}}));
    }
}
