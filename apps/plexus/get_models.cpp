#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "commands.h"
#include "progress_watch.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

std::string text_of(json::value const& object, std::string_view name)
{
    return std::string(std::string_view(object.at(name).as_string()));
}

std::uint64_t number_of(json::value const& object, std::string_view name)
{
    return object.at(name).to_number<std::uint64_t>();
}

std::string joined(json::array const& texts)
{
    auto all = std::string{};
    for (auto const& text : texts) {
        all += (all.empty() ? "" : ", ") + std::string(std::string_view(text.as_string()));
    }
    return all;
}

/// True if the same command may do better later.
bool is_passing(Failure const& failure)
{
    return failure.exit == ExitCode::no_device || failure.exit == ExitCode::network ||
           failure.exit == ExitCode::timed_out;
}

void print_model(Context& context, json::value const& model, std::string_view next)
{
    if (!context.options.json) {
        context.terminal.line(fmt::format("{}  {}", text_of(model, "id"), size_text(number_of(model, "size_bytes"))));
        context.terminal.say(next);
    }
}

bool has_words(std::string_view text, std::vector<std::string> const& words)
{
    auto const lower = [](std::string_view of) {
        auto lowered = std::string(of);
        std::ranges::transform(lowered, lowered.begin(), [](unsigned char letter) { return std::tolower(letter); });
        return lowered;
    };
    auto const whole = lower(text);
    return std::ranges::all_of(words, [&](std::string const& word) { return whole.contains(lower(word)); });
}

json::array with_words(json::array const& items, std::initializer_list<std::string_view> names,
                       std::vector<std::string> const& words)
{
    auto kept = json::array{};
    for (auto const& item : items) {
        auto text = std::string{};
        for (auto const name : names) {
            text += text_of(item, name) + " ";
        }
        if (has_words(text, words)) {
            kept.push_back(item);
        }
    }
    return kept;
}

/// "fits here", "fits on nas", or why it does not fit here.
std::string fit_text(json::array const& devices)
{
    if (devices.empty()) {
        return "";
    }
    if (devices.front().at("fits").as_bool()) {
        return "fits here";
    }
    auto const fitting = std::ranges::find_if(devices,
                                              [](json::value const& each) { return each.at("fits").as_bool(); });
    return fitting != devices.end() ? "fits on " + text_of(*fitting, "device")
                                    : "does not fit: " + text_of(devices.front(), "text");
}

void print_suggestions(Terminal& terminal, json::array const& suggestions)
{
    auto rows = std::vector<std::vector<std::string>>{};
    for (auto const& each : suggestions) {
        auto const& devices = each.at("devices").as_array();
        auto const fits = std::ranges::any_of(devices, [](json::value const& at) { return at.at("fits").as_bool(); });
        auto const is_here = each.at("local").as_bool();
        rows.push_back({terminal.styled(Tone::strong, text_of(each, "name")), text_of(each, "kind"),
                        size_text(number_of(each, "size_bytes")), text_of(each, "license"),
                        terminal.styled(fits ? Tone::good : Tone::dim, is_here ? "is here" : fit_text(devices))});
    }
    terminal.table(rows);
}

}  // namespace

Task<Outcome<>> pull_model(Context& context, PullOptions options)
{
    auto const body = json::object{{"source", options.source}, {"name", options.name}, {"sha256", options.sha256}};
    auto model = co_await follow_work(context, "/api/v1/pulls", body, "model");
    if (!model) {
        auto failure = model.error();
        separate_reason(failure);
        if (failure.code == "not_found") {
            failure.next = "plexus model search";
        } else if (failure.code == "conflict") {
            failure.next = "give it another name with --name, or see 'plexus model ls'";
        } else if (is_passing(failure)) {
            failure.exit = failure.exit == ExitCode::no_device ? ExitCode::network : failure.exit;
            failure.next = "try again: it goes on where this ended";
        }
        co_return std::unexpected(std::move(failure));
    }
    print_model(context, *model, "Next: plexus ask \"Name three colours\"");
    co_return Outcome<>{};
}

Task<Outcome<>> verify_model(Context& context, std::string name)
{
    auto model = co_await follow_work(context, "/api/v1/verifications", json::object{{"model", name}}, "model");
    if (!model) {
        auto failure = model.error();
        failure.next = failure.exit == ExitCode::not_found ? "plexus model ls" : failure.next;
        co_return std::unexpected(std::move(failure));
    }
    if (!context.options.json) {
        context.terminal.line(fmt::format("{} is whole: sha256 {}", text_of(*model, "id"), text_of(*model, "digest")));
    }
    co_return Outcome<>{};
}

Task<Outcome<>> search_models(Context& context, std::vector<std::string> words)
{
    auto const listed = co_await context.client.get("/api/v1/suggestions");
    if (!listed) {
        co_return std::unexpected(listed.error());
    }
    auto const held = co_await context.client.get("/api/v1/models");
    if (!held) {
        co_return std::unexpected(held.error());
    }
    auto suggestions = with_words(listed->at("suggestions").as_array(), {"name", "title", "kind", "license"}, words);
    auto models = with_words(held->at("models").as_array(), {"id", "architecture", "quantization"}, words);
    if (context.options.json) {
        auto data = json::object{{"models", std::move(models)}, {"suggestions", std::move(suggestions)}};
        context.print_document("model.search", std::move(data));
        co_return Outcome<>{};
    }
    auto& terminal = context.terminal;
    if (models.empty() && suggestions.empty()) {
        co_return failed(ExitCode::not_found, "not_found", "No model has these words.", "",
                         "plexus model search   shows the whole list");
    }
    if (!models.empty()) {
        terminal.line(terminal.styled(Tone::dim, "In the mesh"));
        print_models(terminal, models);
    }
    if (!suggestions.empty()) {
        terminal.line(terminal.styled(Tone::dim, "To be had"));
        print_suggestions(terminal, suggestions);
        terminal.say("Next: plexus model pull NAME");
    }
    co_return Outcome<>{};
}

Task<Outcome<>> show_model(Context& context, std::string name)
{
    auto const details = co_await context.client.get("/api/v1/models/" + percent_encoded(name));
    if (!details) {
        auto failure = details.error();
        failure.next = failure.exit == ExitCode::not_found ? "plexus model ls" : failure.next;
        co_return std::unexpected(std::move(failure));
    }
    if (context.options.json) {
        context.print_document("model.show", *details);
        co_return Outcome<>{};
    }
    auto& terminal = context.terminal;
    auto const title = text_of(*details, "title");
    auto const license = text_of(*details, "license");
    terminal.line(fmt::format("{}  {}", terminal.styled(Tone::strong, terminal.safe(text_of(*details, "id"))),
                              terminal.safe(title)));
    terminal.table(
        {{"size", size_text(number_of(*details, "size_bytes"))},
         {"sha256", text_of(*details, "digest")},
         {"kind",
          fmt::format("{}, {}, {:.1f} billion numbers", terminal.safe(text_of(*details, "architecture")),
                      text_of(*details, "quantization"), static_cast<double>(number_of(*details, "parameters")) / 1e9)},
         {"can", joined(details->at("abilities").as_array())},
         {"context", fmt::format("{} tokens, made for {}", number_of(*details, "context_length"),
                                 number_of(*details, "trained_context"))},
         {"draft model", details->at("draft").is_null() ? "none" : terminal.safe(text_of(*details, "draft"))},
         {"layers", std::to_string(number_of(*details, "layers"))},
         {"licence", license.empty() ? "the file does not say" : terminal.safe(license)},
         {"from", terminal.safe(text_of(*details, "origin"))},
         {"file", terminal.safe(text_of(*details, "path"))}});
    co_return Outcome<>{};
}

Task<Outcome<>> plan_model(Context& context, PlanOptions options)
{
    auto const body = json::object{{"model", options.model}, {"context", options.context}, {"slots", options.slots}};
    auto const plan = co_await context.client.post("/api/v1/plans", body);
    if (!plan) {
        auto failure = plan.error();
        failure.next = failure.exit == ExitCode::not_found ? "plexus model search" : failure.next;
        co_return std::unexpected(std::move(failure));
    }
    if (context.options.json) {
        context.print_document("model.plan", *plan);
        co_return Outcome<>{};
    }
    auto& terminal = context.terminal;
    terminal.line(fmt::format("{} needs about {} for {} answers at a time with {} tokens each:",
                              terminal.styled(Tone::strong, text_of(*plan, "model")),
                              size_text(number_of(*plan, "total_bytes")), number_of(*plan, "slots"),
                              number_of(*plan, "context")));
    terminal.line(fmt::format("weights {}, context {}, computing {}, the rest {}",
                              size_text(number_of(*plan, "weight_bytes")), size_text(number_of(*plan, "cache_bytes")),
                              size_text(number_of(*plan, "compute_bytes")),
                              size_text(number_of(*plan, "overhead_bytes"))));
    auto rows = std::vector<std::vector<std::string>>{};
    for (auto const& device : plan->at("devices").as_array()) {
        auto const fits = device.at("fits").as_bool();
        rows.push_back({terminal.styled(fits ? Tone::good : Tone::bad, fits ? "fits on" : "does not fit on"),
                        terminal.safe(text_of(device, "device")), text_of(device, "text")});
    }
    terminal.table(rows);
    co_return Outcome<>{};
}

Task<Outcome<>> explain_route(Context& context, RouteOptions options)
{
    auto const body = json::object{
        {"model", options.model}, {"prompt_tokens", options.prompt_tokens}, {"output_tokens", options.output_tokens}};
    auto const routes = co_await context.client.post("/api/v1/routes", body);
    if (!routes) {
        co_return std::unexpected(routes.error());
    }
    if (context.options.json) {
        context.print_document("route.explain", *routes);
        co_return Outcome<>{};
    }
    auto& terminal = context.terminal;
    auto rows = std::vector<std::vector<std::string>>{};
    for (auto const& route : routes->at("routes").as_array()) {
        auto const state = text_of(route, "state");
        auto const tone = state == "chosen" ? Tone::good : state == "possible" ? Tone::plain : Tone::dim;
        rows.push_back({terminal.styled(tone, state), terminal.safe(text_of(route, "device")),
                        terminal.safe(text_of(route, "reason"))});
    }
    terminal.table(rows);
    co_return Outcome<>{};
}

}  // namespace plexus::cli
