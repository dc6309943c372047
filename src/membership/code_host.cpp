#include "base/log.h"
#include "membership/parts.h"

// Giving an invite to a device that knows the code: the side of /plexus/code/1 that shows it.

namespace plexus::membership {

namespace {

constexpr auto decision_limit = std::chrono::seconds(55);  // a stranger's connection has a minute

CodeMessage refused(CodeRefusal reason, int tries_left = 0)
{
    return {.kind = CodeMessage::Kind::refused,
            .refusal = reason,
            .tries_left = static_cast<std::uint64_t>(std::max(tries_left, 0))};
}

}  // namespace

crypto::Secret32 Membership::fresh_secret()
{
    auto secret = crypto::Secret32{};
    env_.random("codes").fill(secret.writable());
    return secret;
}

Task<> Membership::serve_code(std::unique_ptr<host::Stream> stream)
{
    auto const answer = co_await check_code(*stream);
    if (!answer) {
        stream->reset();
        co_return;
    }
    std::ignore = co_await write_encoded(env_, *stream, *answer, env_.deadline_in(step_limit));
    std::ignore = co_await stream->close_write();
}

Task<Result<CodeMessage>> Membership::check_code(host::Stream& stream)
{
    auto const deadline = env_.deadline_in(step_limit);
    auto hello = co_await read_decoded(env_, stream, max_code_message_bytes, deadline, decode_code);
    if (!hello || hello->kind != CodeMessage::Kind::hello) {
        co_return fail(ErrorKind::malformed, "no hello");
    }
    auto const* shown = is_owner() ? invites_.with_code(env_.now()) : nullptr;
    if (shown == nullptr) {
        co_return refused(CodeRefusal::no_code);
    }
    auto const invite_id = shown->link.invite_id;
    auto exchange = CodeExchange{.joiner = stream.peer(),
                                 .host = self_,
                                 .session = std::move(hello->session),
                                 .name = std::move(hello->name),
                                 .joiner_share = std::move(hello->share)};
    auto const own = exchange.half(shown->code, fresh_secret());
    exchange.host_share = to_bytes(own.share());
    auto const challenge = CodeMessage{.kind = CodeMessage::Kind::challenge, .share = exchange.host_share};
    auto const asked = co_await write_encoded(env_, stream, challenge, deadline);
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    auto const proof = co_await read_decoded(env_, stream, max_code_message_bytes, deadline, decode_code);
    if (!proof) {
        co_return std::unexpected(proof.error());
    }
    auto* invite = invites_.with_code(env_.now());
    if (invite == nullptr || invite->link.invite_id != invite_id) {
        co_return refused(CodeRefusal::no_code);
    }
    auto const expected = exchange.proof_of(CodeExchange::Side::joiner, own);
    if (!expected || proof->kind != CodeMessage::Kind::proof ||
        !equal_in_constant_time(expected->bytes(), proof->proof)) {
        auto const left = invites_.count_wrong_code(*invite);
        log::warning("a device used a wrong code", {{"name", exchange.name}, {"tries left", left}});
        co_return refused(CodeRefusal::wrong, left);
    }
    auto const answer = exchange.proof_of(CodeExchange::Side::host, own);
    auto const refusal = co_await decision_on(invite_id, {stream.peer(), exchange.name, stream.remote_address()});
    if (refusal || !answer) {
        co_return refused(refusal.value_or(CodeRefusal::declined));
    }
    auto const let_in = invites_.find(invite_id, env_.now());
    co_return CodeMessage{.kind = CodeMessage::Kind::link,
                          .proof = to_bytes(answer->bytes()),
                          .link = let_in ? (*let_in)->link.text() : std::string("-")};
}

/// Nothing if a person lets the device in.
Task<std::optional<CodeRefusal>> Membership::decision_on(Bytes invite_id, Applicant applicant)
{
    auto const shown = invites_.find(invite_id, env_.now());
    if (!shown || (*shown)->applicant) {
        co_return CodeRefusal::no_answer;
    }
    (*shown)->applicant = applicant;
    (*shown)->lets_in.reset();
    struct AtEnd {
        Membership& membership;
        Bytes const& invite_id;
        ~AtEnd()
        {
            if (auto const invite = membership.invites_.find(invite_id, membership.env_.now())) {
                (*invite)->applicant.reset();
            }
        }
    } const at_end{*this, invite_id};
    log::info("a device that knows the code waits to be let in", {{"name", applicant.name}});
    auto const until = env_.deadline_in(decision_limit);
    auto const alarm = Alarm(env_, until.at(), [this] { decided_.notify(); });
    for (;;) {
        auto const invite = invites_.find(invite_id, env_.now());
        if (!invite) {
            co_return CodeRefusal::declined;
        }
        if (auto const decision = (*invite)->lets_in) {
            (*invite)->code.clear();
            co_return *decision ? std::nullopt : std::optional(CodeRefusal::declined);
        }
        if (until.passed(env_.now())) {
            co_return CodeRefusal::no_answer;
        }
        co_await decided_.wait();
    }
}

Result<void> Membership::decide(std::string const& invite_id, PeerId const& device, bool lets_in)
{
    auto const id = from_hex(invite_id);
    auto const invite = invites_.find(id ? *id : Bytes{}, env_.now());
    if (!invite || !(*invite)->applicant || (*invite)->applicant->device != device) {
        return fail(ErrorKind::not_found, "that device does not wait to be let in any more");
    }
    (*invite)->lets_in = lets_in;
    decided_.notify();
    return {};
}

}  // namespace plexus::membership
