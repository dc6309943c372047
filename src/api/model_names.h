#pragma once

#include "api/services.h"

namespace plexus::api {

/// The model of that name, alias or digest.
std::optional<ModelView> find_model(std::vector<ModelView> const& models, std::string_view name);

WallTime seconds_since_1970(std::uint64_t seconds);

/// "2026-11-25T02:49:19.123Z"; times past the year 9999 as its end.
std::string rfc3339(WallTime time);

}  // namespace plexus::api
