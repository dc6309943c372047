#pragma once

#include <memory>
#include <vector>

#include "models/gguf_header.h"

namespace plexus::models {

/// The shards of one model as one file, joined while it is read: the header of the first with the tensors of all, then their
/// data one behind the other. Nothing of the data is looked into; the file has no descriptor.
///
/// An engine is handed one open file, so a model is one file here; see docs/decisions/0018.
/// `shards` in their order. Errors: `malformed` if they are not the shards of one model, `too_large`, `io`.
Result<std::shared_ptr<File const>> join_shards(std::vector<std::shared_ptr<File const>> const& shards);

}  // namespace plexus::models
