#pragma once

#include "api/services.h"
#include "models/store.h"

namespace plexus::node {

/// A model of the store of the device of that name.
api::ModelView view_of(models::Model const& model, std::string const& device);

std::function<void(models::ImportProgress)> as_import(api::ProgressReport progress);

}  // namespace plexus::node
