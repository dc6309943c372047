#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "commands.h"

// The commands that only look: overview, status, devices, models, doctor, version.

namespace plexus::cli {

namespace json = boost::json;

namespace {

std::string text_of(json::value const& object, std::string_view name)
{
    auto const* value = object.as_object().if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string{};
}

std::uint64_t number_of(json::value const& object, std::string_view name)
{
    auto const* value = object.as_object().if_contains(name);
    return value != nullptr && value->is_number() ? value->to_number<std::uint64_t>() : 0;
}

std::string joined(json::value const& list)
{
    auto text = std::string{};
    for (auto const& each : list.as_array()) {
        text += text.empty() ? "" : ", ";
        text += std::string_view(each.as_string());
    }
    return text;
}

std::string state_text(Terminal const& terminal, std::string const& state)
{
    auto const tone = state == "ready" ? Tone::good : state == "away" ? Tone::dim : Tone::warn;
    auto const* const sign = terminal.speaks_unicode() ? (state == "away" ? "○ " : "● ") : "";
    return terminal.styled(tone, sign + state);
}

std::string round_trip_text(json::value const& device)
{
    if (device.at("self").as_bool()) {
        return "this device";
    }
    auto const& value = device.at("round_trip_ms");
    return value.is_null() ? "-" : fmt::format("{:.1f} ms", value.to_number<double>());
}

void print_devices(Terminal& terminal, json::array const& devices)
{
    auto rows = std::vector<std::vector<std::string>>{};
    for (auto const& device : devices) {
        auto const memory = number_of(device, "free_memory_bytes");
        rows.push_back({terminal.styled(Tone::strong, terminal.safe(text_of(device, "name"))),
                        state_text(terminal, text_of(device, "state")), text_of(device, "role"),
                        round_trip_text(device), memory == 0 ? "-" : size_text(memory) + " free",
                        terminal.styled(Tone::dim, terminal.safe(joined(device.at("models"))))});
    }
    terminal.table(rows);
}

std::string next_command(json::array const& devices, json::array const& models)
{
    if (models.empty()) {
        return "plexus model import FILE.gguf";
    }
    return devices.size() < 2 ? "plexus invite" : "plexus ask \"Name three colours\"";
}

struct Facts {
    json::value status;
    json::value devices;
    json::value models;
};

Task<Outcome<Facts>> gather(Context& context)
{
    auto status = co_await context.client.get("/api/v1/status");
    if (!status) {
        co_return std::unexpected(status.error());
    }
    auto devices = co_await context.client.get("/api/v1/devices");
    if (!devices) {
        co_return std::unexpected(devices.error());
    }
    auto models = co_await context.client.get("/api/v1/models");
    if (!models) {
        co_return std::unexpected(models.error());
    }
    co_return Facts{std::move(*status), devices->at("devices"), models->at("models")};
}

/// Whole walls are no news; all else is.
void print_sandbox(Terminal& terminal, json::value const& sandbox)
{
    auto const reason = text_of(sandbox, "reason");
    if (!reason.empty()) {
        terminal.line(terminal.styled(Tone::bad, fmt::format("No engine can run: {}", reason)));
    } else if (text_of(sandbox, "grade") == "C") {
        auto names = std::string{};
        for (auto const& name : sandbox.at("missing").as_array()) {
            names += fmt::format("{}{}", names.empty() ? "" : ", ", std::string_view(name.as_string()));
        }
        terminal.line(terminal.styled(Tone::bad, fmt::format("Sandbox of grade C: without {}", names)));
    } else if (!text_of(sandbox, "grade").empty()) {
        terminal.line("Sandbox of grade " + text_of(sandbox, "grade"));
    }
}

/// A processor alone is no news.
void print_computing(Terminal& terminal, json::value const& computing)
{
    auto const problem = text_of(computing, "problem");
    auto const gpu = text_of(computing, "gpu");
    if (!problem.empty()) {
        terminal.line(terminal.styled(Tone::bad, fmt::format("Computed on the processor: {}", terminal.safe(problem))));
    } else if (!gpu.empty()) {
        terminal.line(fmt::format("Computed on {} ({})", terminal.safe(gpu), text_of(computing, "backend")));
    }
}

void print_facts(Terminal& terminal, Facts const& facts)
{
    auto const uptime = static_cast<std::int64_t>(number_of(facts.status, "uptime_seconds"));
    terminal.line(fmt::format("{}  {} {}, up {}", terminal.styled(Tone::strong, text_of(facts.status, "device")),
                              "plexus", text_of(facts.status, "version"), duration_text(uptime)));
    terminal.line(fmt::format("API http://127.0.0.1:{}/v1, {} running, {} waiting", number_of(facts.status, "api_port"),
                              number_of(facts.status, "running_tasks"), number_of(facts.status, "queued_tasks")));
    if (auto const* sandbox = facts.status.as_object().if_contains("sandbox")) {
        print_sandbox(terminal, *sandbox);
    }
    if (auto const* computing = facts.status.as_object().if_contains("computing")) {
        print_computing(terminal, *computing);
    }
    terminal.line("");
    terminal.line(terminal.styled(Tone::dim, "Devices"));
    print_devices(terminal, facts.devices.as_array());
    terminal.line("");
    terminal.line(terminal.styled(Tone::dim, "Models"));
    if (facts.models.as_array().empty()) {
        terminal.line("none yet");
    }
    print_models(terminal, facts.models.as_array());
}

}  // namespace

void print_models(Terminal& terminal, json::array const& models)
{
    auto rows = std::vector<std::vector<std::string>>{};
    for (auto const& model : models) {
        auto const loaded = joined(model.at("loaded_on"));
        rows.push_back({terminal.styled(Tone::strong, terminal.safe(text_of(model, "id"))),
                        size_text(number_of(model, "size_bytes")), text_of(model, "quantization"),
                        fmt::format("on {}", terminal.safe(joined(model.at("devices")))),
                        loaded.empty() ? "" : terminal.styled(Tone::good, "loaded")});
    }
    terminal.table(rows);
}

Task<Outcome<>> show_status(Context& context)
{
    auto facts = co_await gather(context);
    if (!facts) {
        co_return std::unexpected(facts.error());
    }
    if (context.options.json) {
        auto data = facts->status.as_object();
        data["devices"] = facts->devices;
        data["models"] = facts->models;
        context.print_document("status", std::move(data));
        co_return Outcome<>{};
    }
    print_facts(context.terminal, *facts);
    co_return Outcome<>{};
}

Task<Outcome<>> overview(Context& context)
{
    auto facts = co_await gather(context);
    if (!facts && facts.error().exit != ExitCode::no_daemon) {
        co_return std::unexpected(facts.error());
    }
    if (context.options.json) {
        if (!facts) {
            co_return std::unexpected(facts.error());
        }
        co_return co_await show_status(context);
    }
    auto& terminal = context.terminal;
    if (!facts) {
        terminal.line("Plexus joins your own devices into one private mesh that runs language models.");
        terminal.line("The daemon is not running on this device.");
        terminal.line("");
        terminal.line(fmt::format("Next: {}", terminal.styled(Tone::strong, "plexus up")));
        co_return Outcome<>{};
    }
    print_facts(terminal, *facts);
    terminal.line("");
    auto const next = next_command(facts->devices.as_array(), facts->models.as_array());
    terminal.line(fmt::format("Next: {}", terminal.styled(Tone::strong, next)));
    co_return Outcome<>{};
}

Task<Outcome<>> list_devices(Context& context)
{
    auto const answer = co_await context.client.get("/api/v1/devices");
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document("device.ls", answer->at("devices"));
    } else {
        print_devices(context.terminal, answer->at("devices").as_array());
    }
    co_return Outcome<>{};
}

Task<Outcome<>> list_models(Context& context)
{
    auto const answer = co_await context.client.get("/api/v1/models");
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const& models = answer->at("models").as_array();
    if (context.options.json) {
        context.print_document("model.ls", models);
    } else if (models.empty()) {
        context.terminal.say("No device of this mesh holds a model yet. Next: plexus model import FILE.gguf");
    } else {
        print_models(context.terminal, models);
    }
    co_return Outcome<>{};
}

namespace {

json::object check(std::string_view name, bool is_good, std::string text, std::string next)
{
    return {{"name", name}, {"good", is_good}, {"text", std::move(text)}, {"next", is_good ? "" : std::move(next)}};
}

json::object token_check(Context& context)
{
    auto const file = context.paths.api_token();
    auto const status = context.env.disk().status(file);
    if (!status) {
        return check("api token", false, status.error().text, "plexus down, then plexus up");
    }
    auto const is_private = (status->mode & 0077) == 0;
    return check("api token", is_private,
                 fmt::format("{} {}", file.string(), is_private ? "is readable by you only" : "is readable by others"),
                 fmt::format("chmod 600 {}", file.string()));
}

json::object data_check(Context& context)
{
    auto const& data = context.paths.data;
    if (::access(data.c_str(), F_OK) != 0) {
        return check("data", true, fmt::format("nothing in {} yet", data.string()), "");
    }
    auto const is_usable = ::access(data.c_str(), R_OK | W_OK | X_OK) == 0;
    return check("data", is_usable,
                 fmt::format("{} {}", data.string(), is_usable ? "is yours to write" : "cannot be written by you"),
                 "make it yours, or set PLEXUS_HOME to another folder");
}

json::object daemon_check(Context& context, Outcome<json::value> const& answer)
{
    if (answer) {
        return check("daemon", true, fmt::format("answers on {}", context.client.socket().string()), "");
    }
    auto const& failure = answer.error();
    return check("daemon", false, fmt::format("{} {}", failure.what, failure.why), failure.next);
}

void print_check(Terminal& terminal, json::object const& each)
{
    auto const is_good = each.at("good").as_bool();
    auto const* const word = is_good ? "ok  " : "fix ";
    auto const name = std::string_view(each.at("name").as_string());
    auto const text = std::string_view(each.at("text").as_string());
    terminal.line(fmt::format("{} {:<12} {}", terminal.styled(is_good ? Tone::good : Tone::bad, word), name, text));
    if (!is_good) {
        terminal.line(fmt::format("     {:<12} next: {}", "", std::string_view(each.at("next").as_string())));
    }
}

}  // namespace

Task<Outcome<>> doctor(Context& context)
{
    auto const answer = co_await context.client.get("/api/v1/checks");
    auto checks = json::array{daemon_check(context, answer), data_check(context)};
    if (answer) {
        checks.emplace_back(token_check(context));
        auto const& inside = answer->at("checks").as_array();
        checks.insert(checks.end(), inside.begin(), inside.end());
    } else if (auto const failure = last_start_failure(context.paths)) {
        checks.emplace_back(
            check("last start", false, fmt::format("{} {}", failure->what, failure->why), failure->next));
    }
    auto const bad = std::ranges::count_if(checks, [](auto const& each) { return !each.at("good").as_bool(); });
    if (context.options.json) {
        context.print_document("doctor", json::object{{"good", bad == 0}, {"checks", checks}});
    } else {
        for (auto const& each : checks) {
            print_check(context.terminal, each.as_object());
        }
    }
    if (bad > 0) {
        co_return failed(answer ? ExitCode::failed : answer.error().exit, answer ? "unhealthy" : answer.error().code,
                         fmt::format("{} of {} checks need you.", bad, checks.size()));
    }
    co_return Outcome<>{};
}

Task<Outcome<>> show_version(Context& context)
{
    auto const status = co_await context.client.get("/api/v1/status");
    auto const running = status ? text_of(*status, "version") : std::string{};
    if (context.options.json) {
        auto data = json::object{{"cli", PLEXUS_VERSION}, {"daemon", nullptr}};
        if (status) {
            data["daemon"] = running;
        }
        context.print_document("version", std::move(data));
        co_return Outcome<>{};
    }
    context.terminal.line(fmt::format("plexus {}", PLEXUS_VERSION));
    context.terminal.line(status ? fmt::format("plexusd {}", running) : "plexusd is not running");
    co_return Outcome<>{};
}

}  // namespace plexus::cli
