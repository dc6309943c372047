#pragma once

#include "base/env.h"
#include "base/task.h"
#include "stream/engine_protocol.h"

namespace plexus::node {

/// Starts an engine without a model, which says one thing and ends: its walls, or what devices there are.
/// `env` must outlive the task. Errors: those of the start; `closed`, `timed_out` after 10 s; those of its frames.
Task<Result<stream::EngineFrame>> ask_engine(Env& env, ProcessOptions options);

}  // namespace plexus::node
