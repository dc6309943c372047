#pragma once

#include "api/services.h"
#include "models/store.h"
#include "multiformats/multiaddr.h"

namespace plexus::node {

/// A model of the store of the device of that name.
api::ModelView view_of(models::Model const& model, std::string const& device);

std::vector<std::string> texts_of(std::vector<multiformats::Multiaddr> const& addresses);

std::function<void(models::ImportProgress)> as_import(api::ProgressReport progress);

}  // namespace plexus::node
