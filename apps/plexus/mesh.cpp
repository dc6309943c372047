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
constexpr int rows_beside_qr = 6;  // link, code, validity, prompt

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

/// "482-913".
std::string spaced(std::string const& code)
{
    return code.substr(0, code.size() / 2) + "-" + code.substr(code.size() / 2);
}

/// Asks the person whether a device that typed the code may come in.
Task<Outcome<>> decide(Context& context, std::string const& invite, json::object const& applicant)
{
    auto& terminal = context.terminal;
    auto const name = terminal.safe(applicant.at("name").as_string());
    auto const address = terminal.safe(applicant.at("address").as_string());
    terminal.clear_progress();
    auto const lets_in = co_await confirmed(context, fmt::format("{} ({}) knows the code. Let it in?", name, address));
    auto const body = json::object{{"device", applicant.at("id").as_string()}, {"let_in", lets_in}};
    auto const answer = co_await context.client.post("/api/v1/invites/" + invite, body);
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (!lets_in) {
        co_return failed(ExitCode::failed, "declined", fmt::format("{} was not let in.", name), "its code is spent",
                         "plexus invite");
    }
    co_return Outcome<>{};
}

/// A device that waits at this invite, if there is one.
Task<Outcome<>> look_for_applicant(Context& context, std::string const& invite)
{
    auto const answer = co_await context.client.get("/api/v1/invites");
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    for (auto const& each : answer->at("invites").as_array()) {
        auto const& applicant = each.at("applicant");
        if (each.at("id").as_string() == invite && applicant.is_object()) {
            co_return co_await decide(context, invite, applicant.as_object());
        }
    }
    co_return Outcome<>{};
}

struct Waiting {
    std::string invite;
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
        auto const looked = co_await look_for_applicant(context, waiting.invite);
        if (!looked) {
            co_return looked;
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
    auto const waits = !options.no_wait && terminal.output_is_terminal() && terminal.talk_is_terminal() &&
                       terminal.input_is_terminal();
    auto const link = std::string(answer->at("link").as_string());
    print_qr(terminal, link, options.qr);
    terminal.say("On the other device:");
    terminal.line(terminal.output_is_terminal() ? fmt::format("plexus join '{}'", link) : link);
    if (auto const* code = answer->at("code").if_string(); code != nullptr && waits) {
        terminal.say(fmt::format("On a device of the same network also: plexus join {}", spaced(std::string(*code))));
    }
    terminal.say(fmt::format("Valid for {}, for one device.", duration_text(*seconds)));
    if (!waits) {
        co_return Outcome<>{};
    }
    auto const expires = answer->at("expires_unix_ms").to_number<std::int64_t>();
    co_return co_await wait_for_device(context, {std::string(answer->at("id").as_string()), expires, ids_of(*devices)});
}

Task<Outcome<>> join(Context& context, std::string link)
{
    auto const is_link = link.find("://") != std::string::npos;
    context.terminal.progress(is_link ? "Joining…"
                                      : "Looking for the device that shows this code; say there that it may…");
    auto const answer = co_await context.client.post("/api/v1/joins",
                                                     json::object{{is_link ? "link" : "code", std::move(link)}});
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

Task<Outcome<>> revoke_device(Context& context, RemoveOptions options)
{
    auto const name = context.terminal.safe(options.name);
    auto const allowed = co_await require(
        context, {.is_given = options.yes,
                  .what = "Revoking a device",
                  .command = fmt::format("plexus device revoke {}", options.name),
                  .question = fmt::format("Remove {} from the mesh? It comes back only by a new invite.", name),
                  .refused = "Nothing was changed."});
    if (!allowed) {
        co_return allowed;
    }
    auto const answer = co_await context.client.remove("/api/v1/devices/" + percent_encoded(options.name));
    if (!answer) {
        auto failure = answer.error();
        failure.next = failure.exit == ExitCode::not_found ? "plexus device ls" : failure.next;
        co_return std::unexpected(std::move(failure));
    }
    if (context.options.json) {
        context.print_document("device.revoke", *answer);
    } else {
        context.terminal.line(fmt::format("{} is out.", name));
    }
    co_return Outcome<>{};
}

Task<Outcome<>> pause_device(Context& context, bool paused)
{
    auto const answer = co_await context.client.post("/api/v1/pause", {{"paused", paused}});
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    if (context.options.json) {
        context.print_document(paused ? "device.pause" : "device.resume", *answer);
    } else {
        context.terminal.line(paused ? "This device answers you alone, until 'plexus device resume'."
                                     : "This device answers all of the mesh again.");
    }
    co_return Outcome<>{};
}

}  // namespace plexus::cli
