#include "membership/parts.h"

// Joining with six digits: the side of /plexus/code/1 on which they are typed.

namespace plexus::membership {

namespace {

constexpr auto reach_limit = std::chrono::seconds(2);       // devices near by answer at once
constexpr auto decision_patience = std::chrono::seconds(58);  // a person looks at the other device

Error error_of(CodeMessage const& refused)
{
    switch (refused.refusal) {
    case CodeRefusal::wrong:
        return {ErrorKind::not_allowed,
                refused.tries_left > 0 ? fmt::format("the code is wrong; tries left: {}", refused.tries_left)
                                       : "the code is wrong, and it is worth nothing any more after three wrong tries"};
    case CodeRefusal::declined: return {ErrorKind::not_allowed, "the other device was told not to let this one in"};
    case CodeRefusal::no_answer: return {ErrorKind::timed_out, "nobody said on the other device to let this one in"};
    case CodeRefusal::no_code: break;
    }
    return {ErrorKind::not_found, "no device on this network shows a code"};
}

}  // namespace

Task<Result<PeerId>> Membership::join_by_code(std::string text, std::vector<Candidate> candidates, Deadline deadline)
{
    auto const digits = digits_of(text);
    if (!digits) {
        co_return fail(ErrorKind::malformed, "a code has {} digits, like 482-913", code_digits);
    }
    if (auto const may = may_join(); !may) {
        co_return std::unexpected(may.error());
    }
    auto failure = Error{ErrorKind::not_found,
                         candidates.empty() ? "no other device is to be seen on this network" : error_of({}).text};
    candidates.resize(std::min(candidates.size(), max_code_candidates));
    for (auto const& candidate : candidates) {
        auto const link = co_await ask_for_link(candidate, *digits, deadline);
        if (link) {
            co_return co_await join(*link, deadline);
        }
        // What others that show no code, or cannot be reached, say is of no interest beside this.
        if (link.error().kind == ErrorKind::not_allowed || link.error().kind == ErrorKind::timed_out) {
            failure = link.error();
        }
    }
    co_return std::unexpected(failure);
}

Task<Result<std::string>> Membership::ask_for_link(Candidate const& candidate, std::string const& digits,
                                                   Deadline deadline)
{
    auto const guard = Joining(joining_, candidate.device);
    auto const soon = deadline.earlier(env_.deadline_in(reach_limit));
    auto const connected = co_await host_->connect(candidate.device, candidate.addresses, soon);
    if (!connected) {
        co_return fail(ErrorKind::unavailable, "{}", connected.error().text);
    }
    auto opened = co_await host_->open_stream(candidate.device, code_protocol, soon);
    auto link = opened ? co_await exchange_code(**opened, digits, deadline)
                       : Result<std::string>(fail(ErrorKind::unavailable, "{}", opened.error().text));
    if (!link) {
        host_->disconnect(candidate.device);
    }
    co_return link;
}

Task<Result<std::string>> Membership::exchange_code(host::Stream& stream, std::string const& digits, Deadline deadline)
{
    using Kind = CodeMessage::Kind;
    auto const own = find(self_);
    auto exchange = CodeExchange{.joiner = self_,
                                 .host = stream.peer(),
                                 .session = env_.random("codes").bytes(nonce_bytes),
                                 .name = own ? own->name : "device"};
    auto const half = exchange.half(digits, fresh_secret());
    exchange.joiner_share = to_bytes(half.share());
    auto const soon = deadline.earlier(env_.deadline_in(step_limit));
    auto const hello = CodeMessage{
        .kind = Kind::hello, .name = exchange.name, .session = exchange.session, .share = exchange.joiner_share};
    auto const greeted = co_await write_encoded(env_, stream, hello, soon);
    auto const challenge = greeted ? co_await read_decoded(env_, stream, max_code_message_bytes, soon, decode_code)
                                   : std::unexpected(greeted.error());
    if (!challenge || challenge->kind != Kind::challenge) {
        co_return fail(ErrorKind::unavailable, "the device shows no code");
    }
    exchange.host_share = challenge->share;
    auto const mine = exchange.proof_of(CodeExchange::Side::joiner, half);
    auto const theirs = exchange.proof_of(CodeExchange::Side::host, half);
    if (!mine || !theirs) {
        co_return fail(ErrorKind::unavailable, "the device does not keep to the protocol");
    }
    auto const proof = CodeMessage{.kind = Kind::proof, .proof = to_bytes(mine->bytes())};
    auto const proven = co_await write_encoded(env_, stream, proof, soon);
    auto const patience = deadline.earlier(env_.deadline_in(decision_patience));
    auto const answer = proven ? co_await read_decoded(env_, stream, max_code_message_bytes, patience, decode_code)
                               : std::unexpected(proven.error());
    if (!answer) {
        co_return fail(ErrorKind::unavailable, "{}", answer.error().text);
    }
    if (answer->kind == Kind::refused) {
        co_return std::unexpected(error_of(*answer));
    }
    if (answer->kind != Kind::link || !equal_in_constant_time(theirs->bytes(), answer->proof)) {
        co_return fail(ErrorKind::not_allowed,
                       "a device on this network pretends to show this code, and does not know it");
    }
    co_return answer->link;
}

}  // namespace plexus::membership
