#include "api/metrics.h"

namespace plexus::api {

namespace {

double in_seconds(Duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

void declare(std::string& text, std::string_view name, std::string_view kind, std::string_view help)
{
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, kind);
}

template <typename Value>
void gauge(std::string& text, std::string_view name, std::string_view help, Value value)
{
    declare(text, name, "gauge", help);
    text += fmt::format("{} {}\n", name, value);
}

}  // namespace

void Metrics::count_request(std::string_view route, int status)
{
    ++requests_[{std::string(route), status}];
}

void Metrics::count_task(std::string_view outcome)
{
    ++tasks_[std::string(outcome)];
}

void Metrics::observe_first_chunk(Duration after)
{
    ++first_chunks_;
    first_chunk_seconds_ += in_seconds(after);
}

std::string Metrics::text(StatusView const& status, std::size_t devices, std::size_t connections) const
{
    auto text = std::string{};
    declare(text, "plexus_api_requests_total", "counter", "Answered requests by route and HTTP status.");
    for (auto const& [key, count] : requests_) {
        text += fmt::format("plexus_api_requests_total{{route=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
    }
    declare(text, "plexus_tasks_total", "counter", "Chat tasks taken by this device, by outcome.");
    for (auto const& [outcome, count] : tasks_) {
        text += fmt::format("plexus_tasks_total{{outcome=\"{}\"}} {}\n", outcome, count);
    }
    declare(text, "plexus_chunks_total", "counter", "Answer chunks passed to clients.");
    text += fmt::format("plexus_chunks_total {}\n", chunks_);
    declare(text, "plexus_moves_total", "counter", "Answers that went on elsewhere in their middle.");
    text += fmt::format("plexus_moves_total {}\n", moves_);
    declare(text, "plexus_first_chunk_seconds", "summary", "Time from the request to the first chunk.");
    text += fmt::format("plexus_first_chunk_seconds_sum {}\nplexus_first_chunk_seconds_count {}\n", first_chunk_seconds_,
                        first_chunks_);
    gauge(text, "plexus_running_tasks", "Tasks that run here now.", status.running_tasks);
    gauge(text, "plexus_queued_tasks", "Tasks that wait here now.", status.queued_tasks);
    declare(text, "plexus_foretold_tasks_total", "counter", "Tasks of this device whose time was foretold.");
    text += fmt::format("plexus_foretold_tasks_total {}\n", status.foretold_tasks);
    declare(text, "plexus_closely_foretold_tasks_total", "counter", "Those of them that took within a quarter of it.");
    text += fmt::format("plexus_closely_foretold_tasks_total {}\n", status.closely_foretold_tasks);
    gauge(text, "plexus_devices", "Devices of the mesh, this one included.", devices);
    gauge(text, "plexus_api_connections", "Open API connections.", connections);
    declare(text, "plexus_sandbox_grade", "gauge",
            "How much of the sandbox of engines stands: A all, B all but what a GPU needs, C some is missing.");
    if (!status.sandbox.grade.empty()) {
        text += fmt::format("plexus_sandbox_grade{{grade=\"{}\"}} 1\n", status.sandbox.grade);
    }
    gauge(text, "plexus_sandbox_walls", "Walls around engines that stand.", status.sandbox.walls.size());
    gauge(text, "plexus_sandbox_missing_walls", "Walls around engines that are missing.",
          status.sandbox.missing.size());
    gauge(text, "plexus_uptime_seconds", "Time since the daemon started.", in_seconds(status.uptime));
    return text;
}

std::string engine_metrics(EnginesView const& engines)
{
    auto text = std::string{};
    auto each = [&](std::string_view name, std::string_view help, auto value_of, std::string_view type = "gauge") {
        declare(text, name, type, help);
        for (auto const& engine : engines.engines) {
            text += fmt::format("{}{{model=\"{}\"}} {}\n", name, engine.model, value_of(engine));
        }
    };
    gauge(text, "plexus_engine_memory_limit_bytes", "Memory that all engines together may need.", engines.memory_bytes);
    each("plexus_engine_predicted_bytes", "Memory that an engine was predicted to need.",
         [](EngineView const& engine) { return engine.predicted_bytes; });
    each("plexus_engine_used_bytes", "Memory that an engine took.",
         [](EngineView const& engine) { return engine.used_bytes; });
    each("plexus_engine_used_of_predicted", "Memory that an engine took, over what was predicted.",
         [](EngineView const& engine) { return engine.used_of_predicted(); });
    each(
        "plexus_engine_drafted_tokens_total", "Tokens guessed since the model was loaded.",
        [](EngineView const& engine) { return engine.drafted_tokens; }, "counter");
    each(
        "plexus_engine_accepted_tokens_total", "Of these the ones that went into answers.",
        [](EngineView const& engine) { return engine.accepted_tokens; }, "counter");
    return text;
}

}  // namespace plexus::api
