#pragma once

#include <boost/json/object.hpp>

#include "api/routes.h"

namespace plexus::api {

/// Long work that tells how far it is; its result is what the last line holds.
using WorkWithProgress = std::function<Task<Result<boost::json::object>>(ProgressReport)>;

/// How the lines are written.
struct ProgressForm {
    std::string_view content_type;
    boost::json::object (*progress)(ImportProgress const&);
    boost::json::object (*done)(boost::json::object const& result);
    boost::json::object (*failed)(Problem const&);
};

/// Runs `work` and answers with one JSON object a line: some that tell the progress, then one of the end. A client that
/// leaves cancels the work.
Task<int> answer_with_progress(RouteContext& context, WorkWithProgress work, ProgressForm form);

/// The same in the form of /api/v1: lines of the type "progress", then one of the type "done" or "error".
Task<int> answer_with_progress(RouteContext& context, WorkWithProgress work);

}  // namespace plexus::api
