#include "api/views.h"

#include <boost/json/array.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

json::array to_array(std::vector<std::string> const& texts)
{
    auto array = json::array{};
    for (auto const& text : texts) {
        array.emplace_back(text);
    }
    return array;
}

json::array to_array(std::vector<FitView> const& fits)
{
    auto array = json::array{};
    for (auto const& fit : fits) {
        array.push_back(json::object{{"device", fit.device}, {"fits", fit.fits}, {"text", fit.text}});
    }
    return array;
}

json::value text_or_null(std::string const& text)
{
    return text.empty() ? json::value(nullptr) : json::value(text);
}

json::array to_array(std::vector<GpuView> const& gpus)
{
    auto array = json::array{};
    for (auto const& gpu : gpus) {
        array.push_back(to_json(gpu));
    }
    return array;
}

double in_milliseconds(Duration duration)
{
    return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

json::object to_json(ModelView const& model)
{
    return {{"id", model.id},
            {"aliases", to_array(model.aliases)},
            {"digest", model.digest},
            {"size_bytes", model.size_bytes},
            {"architecture", model.architecture},
            {"quantization", model.quantization},
            {"parameters", model.parameters},
            {"context_length", model.context_length},
            {"chat", model.is_chat},
            {"local", model.is_local},
            {"external", model.is_external},
            {"devices", to_array(model.devices)},
            {"loaded_on", to_array(model.loaded_on)}};
}

json::object to_json(ModelDetails const& details)
{
    auto object = to_json(details.model);
    object["title"] = details.title;
    object["license"] = details.license;
    object["origin"] = details.origin;
    object["trained_context"] = details.trained_context;
    object["path"] = details.path;
    object["tokenizer"] = details.tokenizer;
    object["layers"] = details.layers;
    object["embedding_length"] = details.embedding_length;
    object["draft"] = text_or_null(details.draft);
    object["abilities"] = to_array(details.abilities);
    object["added_unix_ms"] = details.added.time_since_epoch().count();
    return object;
}

json::object to_json(SuggestionView const& suggestion)
{
    return {{"name", suggestion.name},
            {"title", suggestion.title},
            {"kind", suggestion.kind},
            {"license", suggestion.license},
            {"source", suggestion.source},
            {"size_bytes", suggestion.size_bytes},
            {"context_length", suggestion.context_length},
            {"local", suggestion.is_local},
            {"devices", to_array(suggestion.devices)}};
}

json::object to_json(PlanView const& plan)
{
    return {{"model", plan.model},
            {"context", plan.context},
            {"slots", plan.slots},
            {"weight_bytes", plan.weight_bytes},
            {"cache_bytes", plan.cache_bytes},
            {"compute_bytes", plan.compute_bytes},
            {"overhead_bytes", plan.overhead_bytes},
            {"total_bytes", plan.total_bytes},
            {"devices", to_array(plan.devices)}};
}

json::object to_json(RouteView const& route)
{
    auto object = json::object{
        {"device", route.device}, {"state", route.state}, {"reason", route.reason}, {"seconds", nullptr}};
    auto const seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
    if (route.whole) {
        object["seconds"] = json::object{{"whole", seconds(*route.whole)},  {"queue", seconds(route.queue)},
                                         {"load", seconds(route.load)},     {"prompt", seconds(route.prompt)},
                                         {"answer", seconds(route.answer)}, {"travel", seconds(route.travel)}};
    }
    return object;
}

json::object to_json(ForeignModelView const& model)
{
    return {{"name", model.name},
            {"path", model.path},
            {"sha256", model.sha256},
            {"size_bytes", model.size_bytes},
            {"problem", model.problem}};
}

json::object to_openai_json(ModelView const& model)
{
    return {{"id", model.id},
            {"object", "model"},
            {"created", model.created_seconds},
            {"owned_by", "plexus"},
            {"context_length", model.context_length},
            {"capabilities", to_array(model.capabilities)},
            {"plexus", json::object{{"digest", model.digest},
                                    {"size_bytes", model.size_bytes},
                                    {"aliases", to_array(model.aliases)},
                                    {"devices", to_array(model.devices)},
                                    {"loaded_on", to_array(model.loaded_on)}}}};
}

json::object to_json(EngineView const& engine)
{
    auto object = json::object{{"model", engine.model},
                               {"digest", engine.digest},
                               {"context", engine.context},
                               {"slots", engine.slots},
                               {"busy", engine.busy},
                               {"pinned", engine.is_pinned},
                               {"reduced", engine.is_reduced},
                               {"predicted_bytes", engine.predicted_bytes},
                               {"used_bytes", engine.used_bytes},
                               {"used_of_predicted", engine.used_of_predicted()},
                               {"weights_bytes", engine.weights_bytes},
                               {"cache_bytes", engine.cache_bytes},
                               {"compute_bytes", engine.compute_bytes},
                               {"backend", engine.backend},
                               {"gpu", text_or_null(engine.gpu)},
                               {"gpu_layers", engine.gpu_layers},
                               {"gpu_bytes", engine.gpu_bytes},
                               {"leaves_in_seconds", nullptr},
                               {"process", engine.process},
                               {"draft", text_or_null(engine.draft)},
                               {"drafted_tokens", engine.drafted_tokens},
                               {"accepted_tokens", engine.accepted_tokens}};
    if (engine.leaves_in) {
        object["leaves_in_seconds"] = std::chrono::duration_cast<std::chrono::seconds>(*engine.leaves_in).count();
    }
    return object;
}

json::object to_json(EnginesView const& engines)
{
    auto object = list_json("engines", engines.engines);
    object["memory_bytes"] = engines.memory_bytes;
    object["promised_bytes"] = engines.promised_bytes;
    return object;
}

json::object to_json(ExternalEngineView const& engine)
{
    auto models = json::array{};
    for (auto const& model : engine.models) {
        models.push_back(json::object{{"name", model.name},
                                      {"digest", model.digest},
                                      {"context", model.context},
                                      {"kind", model.gives_vectors ? "embeddings" : "chat"}});
    }
    return {{"url", engine.url},
            {"token_file", engine.token_file},
            {"state", engine.is_there ? "ready" : "away"},
            {"problem", engine.problem},
            {"grade", "external, not sandboxed by us"},
            {"busy", engine.busy},
            {"slots", engine.slots},
            {"models", std::move(models)}};
}

json::object to_json(DeviceView const& device)
{
    auto object = json::object{{"id", device.id},
                               {"name", device.name},
                               {"role", device.role},
                               {"state", device.state},
                               {"self", device.is_self},
                               {"addresses", to_array(device.addresses)},
                               {"round_trip_ms", nullptr},
                               {"version", device.version},
                               {"processor", device.processor},
                               {"cores", device.cores},
                               {"memory_bytes", device.memory_bytes},
                               {"free_memory_bytes", device.free_memory_bytes},
                               {"gpus", to_array(device.gpus)},
                               {"models", to_array(device.models)},
                               {"queue", device.queue}};
    if (device.round_trip) {
        object["round_trip_ms"] = in_milliseconds(*device.round_trip);
    }
    return object;
}

json::object to_json(InviteView const& invite, bool with_link)
{
    auto object = json::object{{"id", invite.id},
                               {"role", invite.role},
                               {"expires_unix_ms", invite.expires.time_since_epoch().count()}};
    if (with_link) {
        object["link"] = invite.link;
        object["code"] = invite.code.empty() ? json::value(nullptr) : json::value(invite.code);
    }
    object["applicant"] = nullptr;
    if (auto const& applicant = invite.applicant) {
        object["applicant"] = {{"id", applicant->id}, {"name", applicant->name}, {"address", applicant->address}};
    }
    return object;
}

json::object to_json(JoinView const& join)
{
    auto devices = json::array{};
    for (auto const& device : join.devices) {
        devices.emplace_back(to_json(device));
    }
    return {{"mesh", join.mesh}, {"device", join.device}, {"devices", std::move(devices)}};
}

json::object to_json(GpuView const& gpu)
{
    auto object = json::object{{"name", gpu.name}, {"memory_bytes", gpu.memory_bytes}};
    if (!gpu.kind.empty()) {
        object["kind"] = gpu.kind;
    }
    return object;
}

json::object to_json(ComputingView const& computing)
{
    return {{"backend", computing.backend},
            {"gpu", text_or_null(computing.gpu)},
            {"gpus", to_array(computing.gpus)},
            {"problem", computing.problem}};
}

json::object to_json(SandboxView const& sandbox)
{
    return {{"grade", text_or_null(sandbox.grade)},
            {"walls", to_array(sandbox.walls)},
            {"missing", to_array(sandbox.missing)},
            {"doors", to_array(sandbox.doors)},
            {"probes", sandbox.probes},
            {"digest", sandbox.digest},
            {"reason", sandbox.reason}};
}

json::object to_json(StatusView const& status)
{
    return {{"version", status.version},
            {"device", status.device},
            {"device_id", status.device_id},
            {"mesh_id", status.mesh_id},
            {"home", status.home},
            {"addresses", to_array(status.addresses)},
            {"running_tasks", status.running_tasks},
            {"queued_tasks", status.queued_tasks},
            {"uptime_seconds", std::chrono::duration_cast<std::chrono::seconds>(status.uptime).count()},
            {"ready", status.is_ready},
            {"paused", status.is_paused},
            {"sandbox", to_json(status.sandbox)},
            {"computing", to_json(status.computing)}};
}

json::object to_json(CheckView const& check)
{
    return {{"name", check.name}, {"good", check.is_good}, {"text", check.text}, {"next", check.next}};
}

}  // namespace plexus::api
