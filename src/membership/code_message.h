#pragma once

#include <optional>
#include <string>

#include "crypto/cpace.h"
#include "membership/log.h"

namespace plexus::membership {

inline constexpr std::size_t code_digits = 6;
inline constexpr int max_wrong_codes = 3;  ///< then the code is burnt
inline constexpr std::size_t max_code_message_bytes = 2048;

/// Why a code did not lead to an invite.
enum class CodeRefusal : std::uint8_t {
    no_code = 1,    ///< none is open: not asked for, used, expired or burnt
    wrong = 2,
    declined = 3,   ///< a person said no
    no_answer = 4,  ///< nobody said anything in time, or another device is being decided on
};

/// A message of /plexus/code/1; which fields are filled follows from the kind. Spec: docs/protocols/code.md.
struct CodeMessage {
    enum class Kind : std::uint8_t { hello = 1, challenge = 2, proof = 3, link = 4, refused = 5 };
    Kind kind = Kind::hello;
    std::string name{};            ///< hello: of the joiner
    Bytes session{};               ///< hello: 32 random bytes
    Bytes share{};                 ///< hello, challenge
    Bytes proof{};                 ///< proof, link
    std::string link{};            ///< link
    CodeRefusal refusal = CodeRefusal::no_code;  ///< refused
    std::uint64_t tries_left = 0;  ///< refused as wrong
};

Bytes encode(CodeMessage const& message);
/// Errors: `malformed`.
Result<CodeMessage> decode_code(ByteView bytes);

/// What both sides of an exchange saw. The joiner is CPace's initiator.
struct CodeExchange {
    PeerId joiner, host;
    Bytes session;
    std::string name;
    Bytes joiner_share{}, host_share{};

    enum class Side { joiner, host };
    /// One side's half. `random` are 32 bytes of Env randomness.
    crypto::Cpace half(std::string_view digits, crypto::Secret32 random) const;
    /// Errors: `malformed` if the other side's share is not valid.
    Result<crypto::Digest32> proof_of(Side side, crypto::Cpace const& own) const;
};

/// The digits of what a person typed: "482-913", "482 913". Nothing if there are not code_digits of them.
std::optional<std::string> digits_of(std::string_view text);

}  // namespace plexus::membership
