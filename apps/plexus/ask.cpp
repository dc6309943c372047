#include <iostream>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/json/serialize.hpp>

#include "answer_printer.h"
#include "base/text.h"
#include "commands.h"
#include "line_editor.h"

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t max_input_bytes = 7 << 20;  // the API takes 8 MiB

/// The model to ask when none is named: one that is in memory, else one that is here, else any.
Task<Outcome<std::string>> choose_model(Context& context, std::string named)
{
    if (!named.empty()) {
        co_return named;
    }
    auto const answer = co_await context.client.get("/api/v1/models");
    if (!answer) {
        co_return std::unexpected(answer.error());
    }
    auto const* best = preferred_model(answer->at("models").as_array());
    if (best == nullptr) {
        co_return failed(ExitCode::no_device, "no_model", "There is no model to answer.",
                         "no device of this mesh holds one", "plexus model import FILE.gguf");
    }
    co_return std::string(best->at("id").as_string());
}

std::string body_text(AskOptions const& options, std::string const& model, json::array messages)
{
    auto body = json::object{{"model", model},
                             {"messages", std::move(messages)},
                             {"stream", true},
                             {"stream_options", json::object{{"include_usage", true}}}};
    if (options.temperature) {
        body["temperature"] = *options.temperature;
    }
    if (options.seed) {
        body["seed"] = *options.seed;
    }
    if (options.max_tokens) {
        body["max_tokens"] = *options.max_tokens;
    }
    return json::serialize(body);
}

json::object message(std::string_view role, std::string_view text)
{
    return {{"role", role}, {"content", text}};
}

Outcome<std::string> read_standard_input()
{
    auto text = std::string{};
    auto buffer = std::array<char, 64 << 10>{};
    while (std::cin) {
        std::cin.read(buffer.data(), buffer.size());
        text.append(buffer.data(), static_cast<std::size_t>(std::cin.gcount()));
        if (text.size() > max_input_bytes) {
            return failed(ExitCode::usage, "too_large", "The text on standard input is too long.",
                          fmt::format("at most {} are taken", size_text(max_input_bytes)), "give a part of it");
        }
    }
    return text;
}

Outcome<std::string> checked_prompt(std::string prompt)
{
    if (prompt.find_first_not_of(" \t\r\n") == std::string::npos) {
        return failed(ExitCode::usage, "usage", "There is no question.", "", "plexus ask \"Name three colours\"");
    }
    if (!is_utf8(prompt)) {
        return failed(ExitCode::usage, "usage", "The text is not UTF-8.", "models read UTF-8 only",
                      "iconv -f latin1 -t utf-8 FILE | plexus ask …");
    }
    return prompt;
}

Outcome<std::string> prompt_of(Context& context, AskOptions const& options)
{
    auto prompt = std::string{};
    auto wants_input = options.words.empty();
    for (auto const& word : options.words) {
        if (word == "-") {
            wants_input = true;
            continue;
        }
        prompt += prompt.empty() ? word : " " + word;
    }
    if (!context.terminal.input_is_terminal() || wants_input) {
        if (context.terminal.input_is_terminal() && options.words.empty()) {
            return checked_prompt("");
        }
        auto input = read_standard_input();
        if (!input) {
            return input;
        }
        prompt += (prompt.empty() || input->empty() ? "" : "\n\n") + *input;
    }
    return checked_prompt(std::move(prompt));
}

Task<Outcome<>> stream_answer(Context& context, AnswerPrinter& printer, std::string body)
{
    auto head = [&printer](Reply const& reply) { printer.begin(reply); };
    auto piece = [&printer](std::string_view bytes) { printer.push(bytes); };
    auto const reply = co_await context.client.stream("/v1/chat/completions", std::move(body), head, piece);
    printer.finish();
    if (!reply) {
        co_return std::unexpected(reply.error());
    }
    if (printer.failure()) {
        co_return std::unexpected(*printer.failure());
    }
    co_return Outcome<>{};
}

}  // namespace

Task<> let_interrupt_in(Context& context)
{
    return sleep_for(context.env, std::chrono::milliseconds(1));
}

Task<bool> confirmed(Context& context, std::string const& question)
{
    context.terminal.prompt(question + " [y/N] ");
    auto answer = std::string{};
    std::getline(std::cin, answer);
    co_await let_interrupt_in(context);
    co_return answer == "y" || answer == "Y" || answer == "yes";
}

Task<Outcome<>> require(Context& context, Consent consent)
{
    if (consent.is_given) {
        co_return Outcome<>{};
    }
    if (!context.terminal.input_is_terminal() || context.options.json) {
        co_return failed(ExitCode::usage, "usage", consent.what + " needs your yes.", "there is no terminal to ask on",
                         consent.command + " --yes");
    }
    if (!co_await confirmed(context, consent.question)) {
        co_return failed(ExitCode::failed, "cancelled", consent.refused);
    }
    co_return Outcome<>{};
}

Task<std::optional<Outcome<>>> interruptible(Context& context, Task<Outcome<>> task)
{
    auto stop = asio::cancellation_signal();
    auto interrupted = false;
    auto const before = std::exchange(context.on_interrupt, [&] {
        interrupted = true;
        stop.emit(asio::cancellation_type::terminal);
    });
    auto outcome = std::optional<Outcome<>>{};
    try {
        auto bound = asio::bind_cancellation_slot(stop.slot(), use_task);
        outcome = co_await asio::co_spawn(context.env.executor(), std::move(task), bound);
    } catch (boost::system::system_error const&) {
        if (!interrupted) {
            throw;
        }
    }
    context.on_interrupt = before;
    co_return outcome;
}

Task<Outcome<>> ask(Context& context, AskOptions options)
{
    auto const prompt = prompt_of(context, options);
    co_await let_interrupt_in(context);
    if (!prompt) {
        co_return std::unexpected(prompt.error());
    }
    auto const model = co_await choose_model(context, options.model);
    if (!model) {
        co_return std::unexpected(model.error());
    }
    auto messages = json::array{};
    if (!options.system.empty()) {
        messages.emplace_back(message("system", options.system));
    }
    messages.emplace_back(message("user", *prompt));
    auto printer = AnswerPrinter(context);
    co_return co_await stream_answer(context, printer, body_text(options, *model, std::move(messages)));
}

namespace {

/// One question of a conversation; what was answered joins it, also if the person stopped the answer.
Task<Outcome<>> take_turn(Context& context, AskOptions const& options, std::string const& model, json::array& messages,
                          std::string line)
{
    messages.emplace_back(message("user", line));
    auto printer = AnswerPrinter(context);
    auto outcome = co_await interruptible(context, stream_answer(context, printer, body_text(options, model, messages)));
    if (!outcome) {
        printer.finish();
        context.terminal.say("(stopped)");
    }
    if (outcome && !*outcome && printer.text().empty()) {
        messages.pop_back();
        co_return *outcome;
    }
    messages.emplace_back(message("assistant", printer.text()));
    co_return outcome ? *outcome : Outcome<>{};
}

}  // namespace

Task<Outcome<>> chat(Context& context, AskOptions options)
{
    auto const model = co_await choose_model(context, options.model);
    if (!model) {
        co_return std::unexpected(model.error());
    }
    auto messages = json::array{};
    if (!options.system.empty()) {
        messages.emplace_back(message("system", options.system));
    }
    auto editor = LineEditor(context.terminal, context.paths.state / "chat-history");
    if (context.terminal.input_is_terminal()) {
        context.terminal.say(fmt::format("Talking to {}. Ctrl-C stops an answer, Ctrl-D ends.", *model));
    }
    context.on_interrupt = [] {};
    while (auto const line = editor.read_line("> ")) {
        co_await let_interrupt_in(context);
        if (line->find_first_not_of(" \t\r\n") == std::string::npos) {
            continue;
        }
        auto const outcome = co_await take_turn(context, options, *model, messages, *line);
        if (!outcome && (!context.terminal.input_is_terminal() || outcome.error().exit == ExitCode::no_daemon)) {
            co_return outcome;
        }
        if (!outcome) {
            context.terminal.report(outcome.error());
        }
    }
    co_return Outcome<>{};
}

}  // namespace plexus::cli
