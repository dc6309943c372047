#pragma once

#include <boost/json/object.hpp>

#include "api/routes.h"

namespace plexus::api {

/// Runs a task whose answer is one JSON document, on the way to another answer, and gives the document.
/// Errors: those of the task; `too_large` over max_answer_bytes; `refused` if it is no JSON object.
Task<Result<boost::json::object>> run_document_task(RouteContext& context, InferenceTask task);

}  // namespace plexus::api
