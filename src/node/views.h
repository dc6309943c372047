#pragma once

#include "api/services.h"
#include "multiformats/multiaddr.h"
#include "node/device.h"

namespace plexus::node {

/// A model of the store of that device.
api::ModelView view_of(models::Model const& model, Device const& device);

std::vector<std::string> texts_of(std::vector<multiformats::Multiaddr> const& addresses);

std::function<void(models::ImportProgress)> as_import(api::ProgressReport progress);

}  // namespace plexus::node
