#include <boost/json/object.hpp>

#include "commands.h"
#include "progress_watch.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

std::string next_step(Failure const& failure)
{
    if (failure.code == "not_found") {
        return "plexus model ls";
    }
    if (failure.code == "conflict") {
        return "give it another name with --name, or see 'plexus model ls'";
    }
    if (failure.code == "out_of_space") {
        return "plexus model rm NAME, or make room on the disk; then the same command goes on";
    }
    return failure.next.empty() ? "the same command goes on where this one ended" : failure.next;
}

}  // namespace

Task<Outcome<>> copy_model(Context& context, CopyOptions options)
{
    auto const body = json::object{{"model", options.model}, {"from", options.from}, {"name", options.name}};
    auto const model = co_await follow_work(context, "/api/v1/copies", body, "model");
    if (!model) {
        auto failure = model.error();
        separate_reason(failure);
        if (failure.exit != ExitCode::no_daemon) {
            failure.next = next_step(failure);
        }
        co_return std::unexpected(std::move(failure));
    }
    if (!context.options.json) {
        auto const name = std::string(std::string_view(model->at("id").as_string()));
        auto const size = model->at("size_bytes").to_number<std::uint64_t>();
        context.terminal.line(fmt::format("{}  {}", name, size_text(size)));
        context.terminal.say("Next: plexus ask \"Name three colours\"");
    }
    co_return Outcome<>{};
}

}  // namespace plexus::cli
