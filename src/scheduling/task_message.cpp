#include "scheduling/task_message.h"

#include <cmath>

#include "multiformats/protobuf_fields.h"

namespace plexus::scheduling {

namespace {

using multiformats::bytes_of;
using multiformats::decode_message;
using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;
using multiformats::take_alternative;
using multiformats::take_number;
using multiformats::take_plain_text;
using multiformats::take_text;

constexpr double thousandths = 1000;
constexpr double most_per_second = 1e9;
constexpr std::uint64_t longest_limit_milliseconds = 1000ULL * 60 * 60 * 24 * 365;

namespace start_field {
enum : std::uint32_t { task_id = 1, model, body, limit_milliseconds, kind };
}
namespace reply_field {
enum : std::uint32_t { accepted = 1, progress, chunk, done, failed };
}
namespace progress_field {
enum : std::uint32_t { stage = 1, ahead };
}
namespace chunk_field {
enum : std::uint32_t { sequence = 1, json, token };
}
namespace done_field {
enum : std::uint32_t { prompt_tokens = 1, completion_tokens, prefill_thousandths, decode_thousandths };
}
namespace failed_field {
enum : std::uint32_t { kind = 1, text };
}

Result<void> take_rate(ProtobufField const& field, double& target)
{
    auto value = std::uint64_t{0};
    auto taken = take_number(field, value);
    target = std::min(static_cast<double>(value) / thousandths, most_per_second);
    return taken;
}

Result<void> take_limit(ProtobufField const& field, Duration& target)
{
    auto value = std::uint64_t{0};
    auto taken = take_number(field, value);
    target = std::chrono::milliseconds(std::min(value, longest_limit_milliseconds));
    return taken;
}

Result<void> take_model(ProtobufField const& field, ModelDigest& target)
{
    auto digest = and_then(bytes_of(field, ModelDigest::size), [](ByteView bytes) { return ModelDigest::from_bytes(bytes); });
    if (!digest) {
        return std::unexpected(digest.error());
    }
    target = *digest;
    return {};
}

Result<void> take_kind(ProtobufField const& field, TaskKind& target)
{
    auto number = std::uint64_t{0};
    if (auto taken = take_number(field, number); !taken) {
        return taken;
    }
    auto const kind = inference::task_kind_from(number);
    if (!kind) {
        return fail(ErrorKind::unavailable, "this device does not know tasks of kind {}", number);
    }
    target = *kind;
    return {};
}

Result<void> merge(Start& start, ProtobufField const& field)
{
    switch (field.number) {
    case start_field::task_id: return take_plain_text(field, max_task_id_bytes, start.task_id);
    case start_field::model: return take_model(field, start.model);
    case start_field::body: return take_text(field, max_body_bytes, start.body);
    case start_field::limit_milliseconds: return take_limit(field, start.limit);
    case start_field::kind: return take_kind(field, start.kind);
    default: return {};
    }
}

Result<void> merge(Accepted&, ProtobufField const&)
{
    return {};
}

Result<void> merge(Progress& progress, ProtobufField const& field)
{
    if (field.number == progress_field::ahead) {
        return take_number(field, progress.ahead);
    }
    if (field.number != progress_field::stage) {
        return {};
    }
    auto const known = field.value == 1 || field.value == 2;
    progress.stage = known ? static_cast<Progress::Stage>(field.value) : Progress::Stage::computing;
    return {};
}

Result<void> take_token(ProtobufField const& field, std::vector<std::uint32_t>& target)
{
    if (target.size() == inference::max_part_tokens) {
        return fail(ErrorKind::too_large, "a chunk has more than {} tokens", inference::max_part_tokens);
    }
    return take_number(field, target.emplace_back());
}

Result<void> merge(Chunk& chunk, ProtobufField const& field)
{
    switch (field.number) {
    case chunk_field::sequence: return take_number(field, chunk.sequence);
    case chunk_field::json: return take_text(field, max_chunk_bytes, chunk.json);
    case chunk_field::token: return take_token(field, chunk.tokens);
    default: return {};
    }
}

Result<void> merge(Done& done, ProtobufField const& field)
{
    switch (field.number) {
    case done_field::prompt_tokens: return take_number(field, done.timings.prompt_tokens);
    case done_field::completion_tokens: return take_number(field, done.timings.completion_tokens);
    case done_field::prefill_thousandths: return take_rate(field, done.timings.prefill_per_second);
    case done_field::decode_thousandths: return take_rate(field, done.timings.decode_per_second);
    default: return {};
    }
}

Result<void> merge(Failed& failed, ProtobufField const& field)
{
    if (field.number == failed_field::text) {
        return take_plain_text(field, max_error_bytes, failed.error.text);
    }
    if (field.number != failed_field::kind) {
        return {};
    }
    auto kind = std::string{};
    auto taken = take_text(field, max_task_id_bytes, kind);
    failed.error.kind = error_kind_from(kind);
    return taken;
}

constexpr auto merging = [](auto& message, ProtobufField const& field) { return merge(message, field); };

Result<void> merge_reply(std::optional<Reply>& reply, ProtobufField const& field)
{
    if (field.number < reply_field::accepted || field.number > reply_field::failed) {
        return {};
    }
    auto const inner = bytes_of(field, max_reply_bytes);
    if (!inner) {
        return std::unexpected(inner.error());
    }
    switch (field.number) {
    case reply_field::accepted: return take_alternative<Accepted>(*inner, reply, merging);
    case reply_field::progress: return take_alternative<Progress>(*inner, reply, merging);
    case reply_field::chunk: return take_alternative<Chunk>(*inner, reply, merging);
    case reply_field::done: return take_alternative<Done>(*inner, reply, merging);
    default: return take_alternative<Failed>(*inner, reply, merging);
    }
}

Result<Reply> decode_reply(ByteView message)
{
    if (message.size() > max_reply_bytes) {
        return fail(ErrorKind::too_large, "a reply of {} bytes", message.size());
    }
    auto reply = std::optional<Reply>{};
    auto merged = for_each_field(message, [&](ProtobufField const& field) { return merge_reply(reply, field); });
    if (!merged) {
        return std::unexpected(merged.error());
    }
    if (!reply) {
        return fail(ErrorKind::malformed, "a reply says nothing that is known");
    }
    return std::move(*reply);
}

std::uint64_t in_thousandths(double per_second)
{
    auto const limited = per_second > 0 ? std::min(per_second, most_per_second) : 0.0;
    return static_cast<std::uint64_t>(std::llround(limited * thousandths));
}

Bytes inner_of(Accepted const&)
{
    return {};
}

Bytes inner_of(Progress const& progress)
{
    return ProtobufWriter{}
        .varint(progress_field::stage, static_cast<std::uint64_t>(progress.stage))
        .varint(progress_field::ahead, progress.ahead)
        .take();
}

Bytes inner_of(Chunk const& chunk)
{
    auto writer = ProtobufWriter{};
    writer.varint(chunk_field::sequence, chunk.sequence).text(chunk_field::json, chunk.json);
    for (auto const token : chunk.tokens) {
        writer.varint(chunk_field::token, token);
    }
    return writer.take();
}

Bytes inner_of(Done const& done)
{
    return ProtobufWriter{}
        .varint(done_field::prompt_tokens, done.timings.prompt_tokens)
        .varint(done_field::completion_tokens, done.timings.completion_tokens)
        .varint(done_field::prefill_thousandths, in_thousandths(done.timings.prefill_per_second))
        .varint(done_field::decode_thousandths, in_thousandths(done.timings.decode_per_second))
        .take();
}

Bytes inner_of(Failed const& failed)
{
    return ProtobufWriter{}
        .text(failed_field::kind, to_string(failed.error.kind))
        .text(failed_field::text, std::string_view(failed.error.text).substr(0, max_error_bytes))
        .take();
}

}  // namespace

Bytes encode(Start const& start)
{
    auto const limit = std::chrono::ceil<std::chrono::milliseconds>(start.limit).count();
    return ProtobufWriter{}
        .text(start_field::task_id, std::string_view(start.task_id).substr(0, max_task_id_bytes))
        .bytes(start_field::model, start.model.bytes())
        .text(start_field::body, start.body)
        .varint(start_field::limit_milliseconds, static_cast<std::uint64_t>(limit))
        .varint(start_field::kind, static_cast<std::uint64_t>(start.kind))
        .take();
}

Bytes encode(Reply const& reply)
{
    auto const field = static_cast<std::uint32_t>(reply_field::accepted + reply.index());
    auto const inner = std::visit([](auto const& value) { return inner_of(value); }, reply);
    return ProtobufWriter{}.bytes(field, inner).take();
}

Result<Start> decode_start(ByteView message)
{
    if (message.size() > max_start_bytes) {
        return fail(ErrorKind::too_large, "a task of {} bytes", message.size());
    }
    return decode_message<Start>(message, merging);
}

Result<Reply> ReplyReader::take(ByteView message)
{
    auto reply = decode_reply(message);
    if (!reply) {
        return reply;
    }
    if (auto ordered = check_order(*reply); !ordered) {
        return std::unexpected(ordered.error());
    }
    return reply;
}

Result<void> ReplyReader::check_order(Reply const& reply)
{
    auto const is_accepted = std::holds_alternative<Accepted>(reply);
    auto const is_failed = std::holds_alternative<Failed>(reply);
    auto const in_turn = is_failed || is_accepted != accepted_;
    if (over_ || !in_turn) {
        return fail(ErrorKind::malformed, "a reply comes out of order");
    }
    accepted_ = true;
    over_ = is_failed || std::holds_alternative<Done>(reply);
    auto const* chunk = std::get_if<Chunk>(&reply);
    if (chunk != nullptr && chunk->sequence != next_sequence_++) {
        return fail(ErrorKind::malformed, "a chunk is missing or came twice");
    }
    return {};
}

}  // namespace plexus::scheduling
