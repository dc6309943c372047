#pragma once

#include "api/dialect.h"
#include "api/routes.h"

namespace plexus::api {

/// Runs `task` and answers the exchange with it in `dialect`: routing, waiting, keep-alive, the client that leaves, errors
/// before and after the first byte. Gives the status that it answered with.
Task<int> answer_task(RouteContext& context, InferenceTask task, Dialect& dialect, bool stream);

/// The same for several tasks, at least one, whose answers follow one another in one answer: Dialect::next_task(). Each is
/// started when the one before has ended.
Task<int> answer_tasks(RouteContext& context, std::vector<InferenceTask> tasks, Dialect& dialect, bool stream);

/// The problem of a task that could not begin or go on, in the words that OpenAI's clients know.
Problem task_problem(Error const& error, std::string const& model);

}  // namespace plexus::api
