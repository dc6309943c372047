#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "api/services.h"

/// The views as JSON, for the control API and the CLI. Additive within a major version.
namespace plexus::api {

boost::json::object to_json(ModelView const& model);
boost::json::object to_json(EngineView const& engine);
boost::json::object to_json(EnginesView const& engines);
boost::json::object to_json(ExternalEngineView const& engine);
boost::json::object to_json(ModelDetails const& details);
boost::json::object to_json(SuggestionView const& suggestion);
boost::json::object to_json(PlanView const& plan);
boost::json::object to_json(RouteView const& route);
boost::json::object to_json(ForeignModelView const& model);
boost::json::object to_json(DeviceView const& device);
boost::json::object to_json(GpuView const& gpu);
boost::json::object to_json(ComputingView const& computing);
/// `with_link`: the link holds the secret and is shown once.
boost::json::object to_json(InviteView const& invite, bool with_link);
boost::json::object to_json(JoinView const& join);
boost::json::object to_json(SandboxView const& sandbox);
boost::json::object to_json(StatusView const& status);
boost::json::object to_json(CheckView const& check);

/// {"NAME":[...]} of views that have a to_json.
template <typename View>
boost::json::object list_json(std::string_view name, std::vector<View> const& views)
{
    auto items = boost::json::array{};
    for (auto const& view : views) {
        items.emplace_back(to_json(view));
    }
    return {{name, std::move(items)}};
}

/// The model as GET /v1/models lists it.
boost::json::object to_openai_json(ModelView const& model);

}  // namespace plexus::api
