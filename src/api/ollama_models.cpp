#include "api/ollama_models.h"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "api/model_names.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto default_tag = std::string_view(":latest");
/// What is loaded stays until it has been idle for some time; Ollama's own answer for "no end" is a far day.
constexpr auto far_day = std::string_view("2318-01-01T00:00:00.000Z");

/// "134.52M", "7.62B".
std::string short_count(std::uint64_t count)
{
    auto const number = static_cast<double>(count);
    return count >= 1'000'000'000 ? fmt::format("{:.1f}B", number / 1e9)
           : count >= 1'000'000   ? fmt::format("{:.2f}M", number / 1e6)
                                  : fmt::format("{}", count);
}

json::object details_of(ModelView const& model)
{
    return {{"parent_model", ""},
            {"format", "gguf"},
            {"family", model.architecture},
            {"families", json::array{json::string(model.architecture)}},
            {"parameter_size", short_count(model.parameters)},
            {"quantization_level", model.quantization}};
}

json::object identity_of(ModelView const& model)
{
    auto const name = ollama_name(model);
    return {{"name", name},
            {"model", name},
            {"size", model.size_bytes},
            {"digest", model.digest},
            {"details", details_of(model)}};
}

}  // namespace

std::string ollama_name(ModelView const& model)
{
    auto const has_tag = model.id.find(':', model.id.rfind('/') + 1) != std::string::npos;
    return has_tag ? model.id : model.id + std::string(default_tag);
}

std::optional<ModelView> find_ollama_model(std::vector<ModelView> const& models, std::string_view name)
{
    auto const found = find_model(models, name);
    return found ? found : find_model(models, without_default_tag(name));
}

std::string without_default_tag(std::string_view name)
{
    return std::string(name.substr(0, name.size() - (name.ends_with(default_tag) ? default_tag.size() : 0)));
}

json::object to_ollama_entry(ModelView const& model)
{
    auto entry = identity_of(model);
    entry["modified_at"] = rfc3339(seconds_since_1970(model.created_seconds));
    return entry;
}

json::object to_loaded_ollama_entry(ModelView const& model, EngineView const* engine, WallTime now)
{
    auto entry = identity_of(model);
    entry["expires_at"] = far_day;
    entry["size_vram"] = 0;
    entry["context_length"] = model.context_length;
    if (engine != nullptr) {
        entry["size"] = std::max(engine->used_bytes, engine->predicted_bytes);
        entry["context_length"] = engine->context;
        if (engine->leaves_in) {
            entry["expires_at"] = rfc3339(now +
                                          std::chrono::duration_cast<std::chrono::milliseconds>(*engine->leaves_in));
        }
    }
    return entry;
}

namespace {

/// What a model can do, in Ollama's words.
json::array capabilities_of(ModelView const& model, ModelDetails const* details)
{
    if (details == nullptr || details->abilities.empty()) {
        return {model.is_chat ? "completion" : "embedding"};
    }
    auto words = json::array{};
    for (auto const& ability : details->abilities) {
        auto word = json::value(ability == "chat" ? "completion" : ability);
        if (std::ranges::find(words, word) == words.end()) {
            words.push_back(std::move(word));
        }
    }
    return words;
}

}  // namespace

json::object to_ollama_description(ModelView const& model, ModelDetails const* details)
{
    auto info = json::object{{"general.architecture", model.architecture},
                             {"general.parameter_count", model.parameters},
                             {"general.basename", model.id},
                             {model.architecture + ".context_length", model.context_length},
                             {"plexus.digest", model.digest}};
    if (details != nullptr) {
        info[model.architecture + ".block_count"] = details->layers;
        info[model.architecture + ".embedding_length"] = details->embedding_length;
        info["tokenizer.ggml.model"] = details->tokenizer;
    }
    return {{"modelfile", ""},
            {"parameters", ""},
            {"template", ""},
            {"license", details != nullptr ? details->license : ""},
            {"modified_at", rfc3339(seconds_since_1970(model.created_seconds))},
            {"details", details_of(model)},
            {"capabilities", capabilities_of(model, details)},
            {"model_info", std::move(info)}};
}

}  // namespace plexus::api
