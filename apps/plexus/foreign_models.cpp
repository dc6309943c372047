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

/// The usual folder of that program that is there; else the first that would be.
std::filesystem::path usual_folder(std::string const& program)
{
    auto const variable = [](char const* name) {
        auto const* value = std::getenv(name);
        return std::filesystem::path(value == nullptr ? "" : value);
    };
    auto const home = variable("HOME");
    auto folders = std::vector<std::filesystem::path>{home / ".lmstudio/models", home / ".cache/lm-studio/models"};
    if (program == "ollama") {
        folders = {variable("OLLAMA_MODELS"), home / ".ollama/models", "/usr/share/ollama/.ollama/models"};
    }
    std::erase_if(folders, [](auto const& folder) { return folder.empty(); });
    auto ignored = std::error_code{};
    auto const there = std::ranges::find_if(
        folders, [&](auto const& folder) { return std::filesystem::exists(folder, ignored); });
    return there == folders.end() ? folders.front() : *there;
}

void print_foreign(Context& context, json::array const& models, std::string const& program)
{
    auto& terminal = context.terminal;
    auto rows = std::vector<std::vector<std::string>>{};
    for (auto const& model : models) {
        auto const problem = text_of(model, "problem");
        rows.push_back({terminal.styled(Tone::strong, terminal.safe(text_of(model, "name"))),
                        size_text(model.at("size_bytes").to_number<std::uint64_t>()),
                        problem.empty() ? "" : terminal.styled(Tone::warn, problem)});
    }
    terminal.table(rows);
    terminal.say(models.empty() ? "There are no models."
                                : fmt::format("Next: plexus model import --from {} NAME", program));
}

Task<Outcome<>> import_one(Context& context, json::array const& models, std::string name)
{
    auto const found = std::ranges::find_if(models,
                                            [&](json::value const& each) { return text_of(each, "name") == name; });
    if (found == models.end()) {
        co_return failed(ExitCode::not_found, "not_found", fmt::format("There is no model {} in that folder.", name));
    }
    if (auto const problem = text_of(*found, "problem"); !problem.empty()) {
        co_return failed(ExitCode::failed, "malformed", fmt::format("The model {} cannot be used.", name), problem);
    }
    auto const body = json::object{{"path", text_of(*found, "path")}, {"name", name}};
    auto const model = co_await follow_work(context, "/api/v1/models", body, "model");
    if (!model) {
        co_return std::unexpected(model.error());
    }
    if (auto const expected = text_of(*found, "sha256"); !expected.empty() && text_of(*model, "digest") != expected) {
        std::ignore = co_await context.client.remove("/api/v1/models/" + percent_encoded(text_of(*model, "id")));
        co_return failed(ExitCode::failed, "malformed", fmt::format("The file of {} is damaged.", name),
                         "its digest is not the one in its manifest",
                         "fetch it again with the program that it is from");
    }
    if (!context.options.json) {
        auto const size = model->at("size_bytes").to_number<std::uint64_t>();
        context.terminal.line(fmt::format("{}  {}", text_of(*model, "id"), size_text(size)));
    }
    co_return Outcome<>{};
}

}  // namespace

Task<Outcome<>> import_foreign(Context& context, ImportOptions options)
{
    auto code = std::error_code{};
    auto const folder = options.folder.empty() ? usual_folder(options.from)
                                               : std::filesystem::absolute(options.folder, code);
    auto const body = json::object{{"from", options.from}, {"folder", folder.lexically_normal().string()}};
    auto const answer = co_await context.client.post("/api/v1/foreign-models", body);
    if (!answer) {
        auto failure = answer.error();
        failure.next = failure.exit == ExitCode::not_found ? "name the folder with --folder" : failure.next;
        co_return std::unexpected(std::move(failure));
    }
    auto const& models = answer->at("models").as_array();
    if (options.what.empty()) {
        if (context.options.json) {
            context.print_document("model.foreign", models);
        } else {
            print_foreign(context, models, options.from);
        }
        co_return Outcome<>{};
    }
    for (auto const& name : options.what) {
        auto const imported = co_await import_one(context, models, name);
        if (!imported) {
            co_return imported;
        }
    }
    co_return Outcome<>{};
}

}  // namespace plexus::cli
