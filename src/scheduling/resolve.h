#pragma once

#include "catalog/catalog.h"
#include "inference/task_kind.h"

namespace plexus::scheduling {

/// The model that was meant, and the devices that hold it: this device first; those that are away too.
struct Resolved {
    catalog::ModelDigest model;
    std::vector<catalog::Holder> holders;  ///< not empty
    /// Others of the same name that take its place if all holders fail: where one of the two is the model of an engine that
    /// the owner runs, a name is all that tells that they are the same.
    std::vector<catalog::Holder> substitutes{};
};

/// As Scheduler::start says. Errors: `not_found`, `malformed` if the model is not made for tasks of that kind.
Result<Resolved> resolve(catalog::Catalog const& catalog, std::string_view model, inference::TaskKind kind);

}  // namespace plexus::scheduling
