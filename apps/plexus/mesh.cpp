#include <set>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "commands.h"
#include "qr.h"

// Inviting devices, joining, and the files of models.

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr auto watch_interval = std::chrono::seconds(1);
constexpr int rows_beside_qr = 5;  // link, validity, prompt

/// "90", "90s", "5m", "2h".
std::optional<std::int64_t> seconds_of(std::string const& text)
{
    auto factor = std::int64_t{1};
    auto digits = std::string_view(text);
    if (digits.ends_with('s') || digits.ends_with('m') || digits.ends_with('h')) {
        factor = digits.back() == 's' ? 1 : digits.back() == 'm' ? 60 : 3600;
        digits.remove_suffix(1);
    }
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string_view::npos) {
        return std::nullopt;
    }
    return std::stoll(std::string(digits)) * factor;
}

void print_qr(Terminal& terminal, std::string const& link, bool asked_for)
{
    if (!asked_for && !terminal.output_is_terminal()) {
        return;
    }
    auto const code = make_qr(link, terminal.speaks_unicode());
    if (!code) {
        return;
    }
    auto const fits = code->columns <= terminal.columns() && code->rows + rows_beside_qr <= terminal.rows();
    if (fits || asked_for) {
        terminal.write(code->text);
    } else {
        terminal.say(fmt::format("(A terminal of {} x {} would show a QR code; --qr prints it anyway.)", code->columns,
                                 code->rows + rows_beside_qr));
    }
}

struct Waiting {
    std::int64_t expires_milliseconds;
    std::set<std::string> known;  // ids of the devices that were there
};

std::set<std::string> ids_of(json::value const& answer)
{
    auto ids = std::set<std::string>{};
    for (auto const& device : answer.at("devices").as_array()) {
        ids.emplace(device.at("id").as_string());
    }
    return ids;
}

/// Counts down until a device has come or the invite has ended.
Task<Outcome<>> wait_for_device(Context& context, Waiting waiting)
{
    for (;;) {
        auto const now = context.env.wall_now().time_since_epoch().count();
        if (now >= waiting.expires_milliseconds) {
            co_return failed(ExitCode::timed_out, "timed_out", "The invite has expired.", "no device used it in time",
                             "plexus invite");
        }
        auto const answer = co_await context.client.get("/api/v1/devices");
        if (!answer) {
            co_return std::unexpected(answer.error());
        }
        for (auto const& device : answer->at("devices").as_array()) {
            if (!waiting.known.contains(std::string(device.at("id").as_string()))) {
                auto const name = std::string(device.at("name").as_string());
                context.terminal.say(fmt::format("{} has joined.", context.terminal.safe(name)));
                co_return Outcome<>{};
            }
        }
        auto const left = (waiting.expires_milliseconds - now) / 1000;
        context.terminal.progress(fmt::format("Waiting for the device, valid for {}…", duration_text(left)));
        co_await sleep_for(context.env, watch_interval);
    }
}

}  // namespace

Task<Outcome<>> invite(Context& context, InviteOptions options)
{
    auto const seconds = seconds_of(options.ttl);
    if (!seconds) {
        co_return failed(ExitCode::usage, "usage", "The lifetime is not a time.", fmt::format("--ttl {}", options.ttl),
                         "plexus invite --ttl 5m");
    }
    auto const devices = co_await context.client.get("/api/v1/devices");
    if (!devices) {
        co_return std::unexpected(devices.error());
    }
    auto const body = json::object{{"ttl_seconds", *seconds}, {"role", options.role}};
    auto const answer = co_await context.client.post("/api/v1/invites", body);
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document("invite", *answer);
        co_return Outcome<>{};
    }
    auto& terminal = context.terminal;
    auto const link = std::string(answer->at("link").as_string());
    print_qr(terminal, link, options.qr);
    terminal.say("On the other device:");
    terminal.line(terminal.output_is_terminal() ? fmt::format("plexus join '{}'", link) : link);
    terminal.say(fmt::format("Valid for {}, for one device.", duration_text(*seconds)));
    if (options.no_wait || !terminal.output_is_terminal() || !terminal.talk_is_terminal()) {
        co_return Outcome<>{};
    }
    auto const expires = answer->at("expires_unix_ms").to_number<std::int64_t>();
    co_return co_await wait_for_device(context, {expires, ids_of(*devices)});
}

Task<Outcome<>> join(Context& context, std::string link)
{
    context.terminal.progress("Joining…");
    auto const answer = co_await context.client.post("/api/v1/joins", json::object{{"link", link}});
    if (!answer) {
        auto failure = answer.error();
        if (failure.code == "unavailable") {
            failure.exit = ExitCode::network;
            separate_reason(failure);
        } else if (failure.code == "malformed") {
            failure.exit = ExitCode::usage;
        }
        co_return std::unexpected(std::move(failure));
    }
    if (context.options.json) {
        context.print_document("join", *answer);
        co_return Outcome<>{};
    }
    auto const name = std::string(answer->at("device").as_string());
    auto const count = answer->at("devices").as_array().size();
    context.terminal.line(fmt::format("Joined the mesh of {}; it has {} devices now.", context.terminal.safe(name), count));
    context.terminal.say("Next: plexus ask \"Name three colours\"");
    co_return Outcome<>{};
}

}  // namespace plexus::cli
