#include <boost/json/object.hpp>

#include "commands.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

std::uint64_t bytes_in(json::value const& object, std::string_view name)
{
    return object.at(name).to_number<std::uint64_t>();
}

std::string use_text(json::value const& engine)
{
    auto const used = bytes_in(engine, "used_bytes");
    auto const predicted = bytes_in(engine, "predicted_bytes");
    if (used == 0 || predicted == 0) {
        return used == 0 ? "not known" : size_text(used);
    }
    return fmt::format("{} of {} ({:.0f} %)", size_text(used), size_text(predicted),
                       100 * engine.at("used_of_predicted").to_number<double>());
}

std::string stay_text(json::value const& engine)
{
    if (engine.at("pinned").as_bool()) {
        return "pinned";
    }
    if (bytes_in(engine, "busy") > 0) {
        return "answers";
    }
    auto const& leaves = engine.at("leaves_in_seconds");
    return leaves.is_null() ? "stays" : "leaves in " + duration_text(leaves.to_number<std::int64_t>());
}

/// "processor", or the GPU with its share of the layers.
std::string place_text(Context& context, json::value const& engine)
{
    auto const* gpu = engine.as_object().if_contains("gpu");
    if (gpu == nullptr || !gpu->is_string()) {
        return "processor";
    }
    return fmt::format("{} ({} layers, {})", context.terminal.safe(gpu->get_string()), bytes_in(engine, "gpu_layers"),
                       size_text(bytes_in(engine, "gpu_bytes")));
}

std::string shape_text(json::value const& engine)
{
    auto const is_reduced = engine.at("reduced").as_bool();
    return fmt::format("{} x {}{}", bytes_in(engine, "slots"), bytes_in(engine, "context"),
                       is_reduced ? " (less, memory is short)" : "");
}

/// "small, 70 % right".
std::string guess_text(json::value const& engine)
{
    auto const& draft = engine.at("draft");
    auto const drafted = bytes_in(engine, "drafted_tokens");
    auto text = draft.is_null() ? std::string{} : std::string(draft.as_string());
    if (drafted > 0) {
        text += fmt::format(
            "{}{:.0f} % right", text.empty() ? "" : ", ",
            100.0 * static_cast<double>(bytes_in(engine, "accepted_tokens")) / static_cast<double>(drafted));
    }
    return text;
}

/// The daemon's answer, with the next step for a name that it does not know.
Task<Outcome<json::value>> change(Context& context, std::string name, std::string action, json::object body)
{
    auto answer = co_await context.client.post("/api/v1/models/" + percent_encoded(name) + "/" + action,
                                               std::move(body));
    if (!answer && answer.error().exit == ExitCode::not_found) {
        answer.error().next = action == "unload" ? "plexus model ps" : "plexus model ls";
    } else if (!answer && answer.error().exit == ExitCode::no_device) {
        answer.error().next = "plexus model ps";
    }
    co_return answer;
}

void print_engine(Context& context, std::string_view verb, json::value const& engine)
{
    auto const name = context.terminal.safe(engine.at("model").as_string());
    context.terminal.line(fmt::format("{} {}: {}, {}, on {}.", verb, name, shape_text(engine), use_text(engine),
                                      place_text(context, engine)));
}

}  // namespace

Task<Outcome<>> load_model(Context& context, std::string name)
{
    context.terminal.progress("loading the model");
    auto const answer = co_await change(context, std::move(name), "load", {});
    context.terminal.clear_progress();
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document("model.load", *answer);
    } else {
        print_engine(context, "Loaded", *answer);
    }
    co_return Outcome<>{};
}

Task<Outcome<>> unload_model(Context& context, std::string name)
{
    auto const answer = co_await change(context, name, "unload", {});
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document("model.unload", *answer);
    } else {
        context.terminal.line(fmt::format("{} left memory.", context.terminal.safe(name)));
    }
    co_return Outcome<>{};
}

Task<Outcome<>> pin_model(Context& context, PinOptions options)
{
    auto body = json::object{{"pinned", !options.off}};
    auto const answer = co_await change(context, options.name, "pin", std::move(body));
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document("model.pin", *answer);
    } else if (options.off) {
        context.terminal.line(fmt::format("{} is no longer pinned.", context.terminal.safe(options.name)));
    } else {
        print_engine(context, "Pinned", *answer);
    }
    co_return Outcome<>{};
}

Task<Outcome<>> set_draft(Context& context, DraftOptions options)
{
    auto const none = options.draft == "none";
    context.terminal.progress("loading the model");
    auto body = json::object{{"draft", none ? json::value(nullptr) : json::value(options.draft)}};
    auto const answer = co_await change(context, options.model, "draft", std::move(body));
    context.terminal.clear_progress();
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document("model.draft", *answer);
    } else if (none) {
        context.terminal.line(fmt::format("Nothing guesses for {} any more.", context.terminal.safe(options.model)));
    } else {
        print_engine(context, "Loaded with its draft model", *answer);
    }
    co_return Outcome<>{};
}

Task<Outcome<>> list_engines(Context& context)
{
    auto const answer = co_await context.client.get("/api/v1/engines");
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const& engines = answer->at("engines").as_array();
    if (context.options.json) {
        context.print_document("model.ps", *answer);
        co_return Outcome<>{};
    }
    if (engines.empty()) {
        context.terminal.say("No model is in memory. Next: plexus model load NAME");
        co_return Outcome<>{};
    }
    auto rows = std::vector<std::vector<std::string>>{
        {"MODEL", "SLOTS x TOKENS", "MEMORY", "COMPUTED ON", "STATE", "GUESSES"}};
    for (auto const& engine : engines) {
        rows.push_back({context.terminal.safe(engine.at("model").as_string()), shape_text(engine), use_text(engine),
                        place_text(context, engine), stay_text(engine), context.terminal.safe(guess_text(engine))});
    }
    context.terminal.table(rows);
    context.terminal.say(fmt::format("{} of {} for models are promised.",
                                     size_text(bytes_in(*answer, "promised_bytes")),
                                     size_text(bytes_in(*answer, "memory_bytes"))));
    co_return Outcome<>{};
}

}  // namespace plexus::cli
