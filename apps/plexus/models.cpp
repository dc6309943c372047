#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "commands.h"
#include "progress_watch.h"

namespace plexus::cli {

namespace json = boost::json;

json::value const* preferred_model(json::array const& models)
{
    json::value const* best = nullptr;
    auto best_score = -1;
    for (auto const& model : models) {
        auto const score = (model.at("chat").as_bool() ? 4 : 0) + (model.at("loaded_on").as_array().empty() ? 0 : 2) +
                           (model.at("local").as_bool() ? 1 : 0);
        if (score > best_score) {
            best = &model;
            best_score = score;
        }
    }
    return best;
}

Task<Outcome<>> import_model(Context& context, ImportOptions options)
{
    if (!options.from.empty()) {
        co_return co_await import_foreign(context, std::move(options));
    }
    if (options.what.size() != 1) {
        co_return failed(ExitCode::usage, "usage", "One file is imported at a time.", "", "plexus model import --help");
    }
    auto code = std::error_code{};
    auto const& given = options.what.front();
    auto const file = std::filesystem::absolute(given, code);
    if (code || !std::filesystem::exists(file, code)) {
        co_return failed(ExitCode::not_found, "not_found", fmt::format("There is no file {}.", given));
    }
    auto const body = json::object{{"path", file.lexically_normal().string()}, {"name", options.name}};
    auto const model = co_await follow_work(context, "/api/v1/models", body, "model");
    if (!model) {
        auto failure = model.error();
        if (failure.code == "malformed") {
            separate_reason(failure);
            failure.next = "import another file; one that was downloaded may not be whole";
        } else if (failure.code == "conflict") {
            failure.next = "plexus model ls";
        }
        co_return std::unexpected(std::move(failure));
    }
    if (!context.options.json) {
        auto const name = std::string(model->at("id").as_string());
        auto const size = model->at("size_bytes").to_number<std::uint64_t>();
        context.terminal.line(fmt::format("{}  {}", name, size_text(size)));
        context.terminal.say("Next: plexus ask \"Name three colours\"");
    }
    co_return Outcome<>{};
}

Task<Outcome<>> remove_model(Context& context, RemoveOptions options)
{
    auto const allowed = co_await require(
        context, {.is_given = options.yes,
                  .what = "Removing a model",
                  .command = fmt::format("plexus model rm {}", options.name),
                  .question = fmt::format("Remove the model {} from this device?", options.name),
                  .refused = "Nothing was removed."});
    if (!allowed) {
        co_return allowed;
    }
    auto const answer = co_await context.client.remove("/api/v1/models/" + percent_encoded(options.name));
    if (!answer) {
        auto failure = answer.error();
        failure.next = failure.exit == ExitCode::not_found ? "plexus model ls" : failure.next;
        co_return std::unexpected(std::move(failure));
    }
    if (context.options.json) {
        context.print_document("model.rm", *answer);
    } else {
        auto const freed = answer->at("size_bytes").to_number<std::uint64_t>();
        context.terminal.line(fmt::format("Removed {}, {} freed.", options.name, size_text(freed)));
    }
    co_return Outcome<>{};
}

}  // namespace plexus::cli
