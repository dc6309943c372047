#pragma once

#include "base/sim_env.h"
#include "crypto/digest.h"
#include "inference/task_kind.h"

namespace plexus::simulation {

/// How an engine of a device behaves; read by engines that run already, too.
struct EngineMood {
    Duration load = std::chrono::milliseconds(50);
    Duration pause = std::chrono::milliseconds(5);  ///< before each part of an answer
    double dies = 0;     ///< share of parts before which the engine dies
    double hangs = 0;    ///< share of parts before which it falls silent for ever
    double babbles = 0;  ///< share of parts before which it breaks its protocol
    double refuses = 0;  ///< share of starts that it refuses
};

/// The chunks that any healthy engine gives: a pure function of the model's bytes and the request. Of kinds that are not
/// streamed it may be cut elsewhere.
std::vector<std::string> expected_parts(crypto::Digest32 const& model, inference::TaskKind kind, std::string_view body);

/// Takes the tokens of the answer so far out of the body of a chat. Each part of the answer but the last is a token; they count
/// from 0. How many there were.
std::size_t take_said(std::string& body);

/// Speaks stream/engine_protocol.h as plexus-engine does; the model is the file that it is handed.
sim::Program scripted_engine(std::shared_ptr<EngineMood const> mood);

}  // namespace plexus::simulation
