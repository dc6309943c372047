#pragma once

#include <boost/json/object.hpp>

#include "api/services.h"

namespace plexus::api {

/// The name of a model as Ollama's clients expect it: with a tag.
std::string ollama_name(ModelView const& model);

/// The model that a name of Ollama's means: one of our names, or one with ":latest" behind it.
std::optional<ModelView> find_ollama_model(std::vector<ModelView> const& models, std::string_view name);

/// An entry of /api/tags and, with what is known of its stay in memory, of /api/ps.
boost::json::object to_ollama_entry(ModelView const& model);
boost::json::object to_loaded_ollama_entry(ModelView const& model);

/// The answer of /api/show.
boost::json::object to_ollama_description(ModelView const& model);

}  // namespace plexus::api
