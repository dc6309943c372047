#include "host/upgrade.h"

#include "muxer/yamux.h"
#include "negotiation/multistream.h"

namespace plexus::host {

namespace {

constexpr std::size_t read_chunk = 4096;

crypto::Secret32 fresh_secret(Env& env)
{
    auto secret = crypto::Secret32{};
    env.random("noise").fill(secret.writable());
    return secret;
}

security::NoiseOptions noise_options(Env& env, security::Role role, std::optional<PeerId> expected)
{
    return {.role = role,
            .expected_peer = std::move(expected),
            .muxers = {std::string(muxer::yamux_protocol)},
            .static_secret = fresh_secret(env),
            .ephemeral_secret = fresh_secret(env)};
}

/// Feeds `step` what arrives, and sends what it wants sent, until it is done.
template <typename Step>
Task<Result<void>> drive(Socket& socket, Step& step)
{
    auto buffer = std::array<std::byte, read_chunk>{};
    while (!step.done()) {
        auto const count = co_await socket.read_some(buffer);
        if (!count) {
            co_return std::unexpected(count.error());
        }
        if (*count == 0) {
            co_return fail(ErrorKind::closed, "the other side closed during the handshake");
        }
        auto pushed = step.push(ByteView(buffer).first(*count));
        if (!pushed) {
            co_return pushed;
        }
        if (step.done()) {
            break;
        }
        auto const output = step.take_output();
        if (!output.empty()) {
            auto const sent = co_await socket.write(output);
            if (!sent) {
                co_return sent;
            }
        }
    }
    co_return Result<void>{};
}

Secured finish(std::unique_ptr<Socket> socket, security::NoiseHandshake& handshake, security::Role role)
{
    auto output = handshake.take_output();
    auto rest = handshake.take_rest();
    return {.socket = std::move(socket),
            .session = handshake.take_session(),
            .role = role,
            .first_output = std::move(output),
            .received = std::move(rest),
            .use = ConnectionUse::main};
}

Task<Result<Secured>> secure_outbound(Env& env, std::unique_ptr<Socket> socket, crypto::KeyPair const& identity,
                                      std::optional<PeerId> expected)
{
    auto negotiation = negotiation::Initiator({std::string(security::noise_protocol)});
    auto handshake = security::NoiseHandshake(identity, noise_options(env, security::Role::initiator, expected));
    auto flight = negotiation.start();
    append(flight, handshake.take_output());
    auto const sent = co_await socket->write(flight);
    if (!sent) {
        co_return std::unexpected(sent.error());
    }
    auto const negotiated = co_await drive(*socket, negotiation);
    if (!negotiated) {
        co_return std::unexpected(negotiated.error());
    }
    auto const early = negotiation.take_rest();
    if (auto pushed = handshake.push(early); !pushed) {
        co_return std::unexpected(pushed.error());
    }
    auto const shaken = co_await drive(*socket, handshake);
    if (!shaken) {
        co_return std::unexpected(shaken.error());
    }
    co_return finish(std::move(socket), handshake, security::Role::initiator);
}

Task<Result<Secured>> secure_inbound(Env& env, std::unique_ptr<Socket> socket, crypto::KeyPair const& identity)
{
    auto negotiation = negotiation::Responder([](std::string_view name) { return name == security::noise_protocol; });
    auto handshake = security::NoiseHandshake(identity, noise_options(env, security::Role::responder, std::nullopt));
    auto const negotiated = co_await drive(*socket, negotiation);
    if (!negotiated) {
        co_return std::unexpected(negotiated.error());
    }
    auto const early = negotiation.take_rest();
    if (auto pushed = handshake.push(early); !pushed) {
        co_return std::unexpected(pushed.error());
    }
    auto answer = negotiation.take_output();
    append(answer, handshake.take_output());
    auto const sent = co_await socket->write(answer);
    if (!sent) {
        co_return std::unexpected(sent.error());
    }
    auto const shaken = co_await drive(*socket, handshake);
    if (!shaken) {
        co_return std::unexpected(shaken.error());
    }
    co_return finish(std::move(socket), handshake, security::Role::responder);
}

}  // namespace

Task<Result<Secured>> secure(Env& env, std::unique_ptr<Socket> socket, crypto::KeyPair const& identity,
                             security::Role role, std::optional<PeerId> expected, Deadline deadline)
{
    auto work = role == security::Role::initiator
                    ? secure_outbound(env, std::move(socket), identity, std::move(expected))
                    : secure_inbound(env, std::move(socket), identity);
    co_return co_await with_deadline(env, deadline, std::move(work));
}

}  // namespace plexus::host
