#pragma once

#include "catalog/snapshot.h"
#include "inference/external.h"

namespace plexus::node {

/// What the engines that are there serve, for the catalog.
std::vector<catalog::Model> offered(std::vector<inference::ExternalEngine> const& engines);

}  // namespace plexus::node
