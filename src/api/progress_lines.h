#pragma once

#include <boost/json/object.hpp>

#include "api/routes.h"

namespace plexus::api {

/// Long work that tells how far it is; its result is what the last line holds.
using WorkWithProgress = std::function<Task<Result<boost::json::object>>(ProgressReport)>;

/// Runs `work` and answers with one JSON object a line: some of the type "progress", then one of the type "done" or
/// "error". A client that leaves cancels the work.
Task<int> answer_with_progress(RouteContext& context, WorkWithProgress work);

}  // namespace plexus::api
