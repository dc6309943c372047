#pragma once

#include "models/gguf_metadata.h"

namespace plexus::models {

/// What a file says it is: a whole model of an architecture that we vouch for, in one piece.
///
/// llama.cpp ends its process over many a wrong number of its metadata, each architecture over other ones. The list of
/// architectures in gguf_architecture.cpp is that of which every such number is known (docs/gguf.md).
Result<void> check_identity(GgufMetadata const& metadata);

/// The numbers of the architecture ("llama.block_count" and kin) against their ranges and against each other.
Result<void> check_architecture(GgufMetadata const& metadata);

/// Tokens, their scores and types, and the special tokens that are put around every prompt.
Result<void> check_vocabulary(GgufMetadata const& metadata);

}  // namespace plexus::models
