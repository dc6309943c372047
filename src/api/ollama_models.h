#pragma once

#include <boost/json/object.hpp>

#include "api/services.h"

namespace plexus::api {

/// The name of a model as Ollama's clients expect it: with a tag.
std::string ollama_name(ModelView const& model);

/// The model that a name of Ollama's means: one of our names, or one with ":latest" behind it.
std::optional<ModelView> find_ollama_model(std::vector<ModelView> const& models, std::string_view name);

/// An entry of /api/tags and of /api/ps. `engine` is the model in the memory of this device; null if it is in that of
/// another one, of whose engine nothing more is known.
boost::json::object to_ollama_entry(ModelView const& model);
boost::json::object to_loaded_ollama_entry(ModelView const& model, EngineView const* engine, WallTime now);

/// The name without ":latest", as our list of suggested models has it.
std::string without_default_tag(std::string_view name);

/// The answer of /api/show. `details` are those of a model of this device; null for others.
boost::json::object to_ollama_description(ModelView const& model, ModelDetails const* details);

}  // namespace plexus::api
