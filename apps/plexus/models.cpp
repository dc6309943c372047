#include <iostream>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "commands.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

/// Follows the JSON lines of an import.
class ImportWatch {
public:
    explicit ImportWatch(Context& context) : context_(context) {}

    void push(std::string_view piece)
    {
        buffer_ += piece;
        for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
            take(std::string_view(buffer_).substr(0, end));
            buffer_.erase(0, end + 1);
        }
    }

    Outcome<json::value> result() const
    {
        if (failure_) {
            return std::unexpected(*failure_);
        }
        if (model_.is_null()) {
            return failed(ExitCode::network, "device_lost", "The import was broken off.", "", "plexus doctor");
        }
        return model_;
    }

private:
    void take(std::string_view line)
    {
        auto code = boost::system::error_code{};
        auto const event = json::parse(line, code);
        if (code || !event.is_object()) {
            return;
        }
        auto const& type = event.at("type").as_string();
        if (context_.options.json) {
            context_.terminal.line(line);
        }
        if (type == "progress") {
            show(event);
        } else if (type == "done") {
            model_ = event.at("model");
        } else if (type == "error") {
            auto reply = Reply{.status = event.at("status").to_number<int>(), .headers = {}, .body = std::string(line)};
            failure_ = failure_of(reply);
            if (failure_->code == "malformed") {
                separate_reason(*failure_);
                failure_->next = "import another file; one that was downloaded may not be whole";
            } else if (failure_->code == "conflict") {
                failure_->next = "plexus model ls";
            }
        }
    }

    void show(json::value const& event)
    {
        auto const done = event.at("done_bytes").to_number<std::uint64_t>();
        auto const total = std::max<std::uint64_t>(event.at("total_bytes").to_number<std::uint64_t>(), 1);
        auto const percent = done * 100 / total;
        auto const text = fmt::format("{} {}%", std::string_view(event.at("stage").as_string()), percent);
        if (context_.terminal.shows_progress()) {
            context_.terminal.progress(text);
        } else if (percent / 10 != last_tenth_) {
            last_tenth_ = percent / 10;
            context_.terminal.say(text);
        }
    }

    Context& context_;
    std::string buffer_;
    json::value model_;
    std::optional<Failure> failure_;
    std::uint64_t last_tenth_ = 0;
};

bool confirmed(Context& context, std::string const& name)
{
    context.terminal.prompt(fmt::format("Remove the model {} from this device? [y/N] ", name));
    auto answer = std::string{};
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

Task<Outcome<>> import_model(Context& context, ImportOptions options)
{
    auto code = std::error_code{};
    auto const file = std::filesystem::absolute(options.file, code);
    if (code || !std::filesystem::exists(file, code)) {
        co_return failed(ExitCode::not_found, "not_found", fmt::format("There is no file {}.", options.file));
    }
    auto const body = json::object{{"path", file.lexically_normal().string()}, {"name", options.name}};
    auto watch = ImportWatch(context);
    auto piece = [&watch](std::string_view bytes) { watch.push(bytes); };
    auto const reply = co_await context.client.stream("/api/v1/models", json::serialize(body), {}, piece);
    if (!reply) {
        co_return std::unexpected(reply.error());
    }
    auto const model = watch.result();
    if (!model) {
        co_return std::unexpected(model.error());
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
    if (!options.yes) {
        if (!context.terminal.input_is_terminal() || context.options.json) {
            co_return failed(ExitCode::usage, "usage", "Removing a model needs your yes.",
                             "there is no terminal to ask on", fmt::format("plexus model rm {} --yes", options.name));
        }
        auto const is_confirmed = confirmed(context, options.name);
        co_await let_interrupt_in(context);
        if (!is_confirmed) {
            co_return failed(ExitCode::failed, "cancelled", "Nothing was removed.");
        }
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
