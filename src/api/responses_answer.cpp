#include "api/responses_answer.h"

#include <boost/json/serialize.hpp>

#include "api/chat_answer.h"
#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

json::object text_part(std::string_view text)
{
    return {{"type", "output_text"}, {"text", text}, {"annotations", json::array{}}, {"logprobs", json::array{}}};
}

json::object reasoning_part(std::string_view text)
{
    return {{"type", "reasoning_text"}, {"text", text}};
}

json::object usage_from(json::object const& usage)
{
    auto const detail = [&](std::string_view group, std::string_view name) {
        auto const* fields = find(usage, group);
        return fields != nullptr && fields->is_object() ? whole_number_of(fields->get_object(), name).value_or(0) : 0;
    };
    auto const count = [&](std::string_view name) { return whole_number_of(usage, name).value_or(0); };
    return {{"input_tokens", count("prompt_tokens")},
            {"input_tokens_details", {{"cached_tokens", detail("prompt_tokens_details", "cached_tokens")}}},
            {"output_tokens", count("completion_tokens")},
            {"output_tokens_details", {{"reasoning_tokens", detail("completion_tokens_details", "reasoning_tokens")}}},
            {"total_tokens", count("total_tokens")}};
}

enum class ItemKind { none, reasoning, message, call };

/// The words in which text of a message and of reasoning differ.
struct TextWords {
    std::string_view delta;
    std::string_view done;
    json::object (*part)(std::string_view);
};

constexpr auto message_words = TextWords{"response.output_text.delta", "response.output_text.done", text_part};
constexpr auto reasoning_words = TextWords{"response.reasoning_text.delta", "response.reasoning_text.done",
                                           reasoning_part};

}  // namespace

struct ResponseWriter::State {
    json::object response;
    std::string suffix;
    json::array output;        // items that are done
    ItemKind open = ItemKind::none;
    json::object item;         // the open one
    std::string text;          // of the open item, or the arguments of the call
    std::int64_t call = -1;    // index of the open or last call
    std::string finish_reason;
    std::size_t bytes = 0;
    std::int64_t number = 0;

    std::string event(std::string_view type, json::object fields)
    {
        fields["type"] = type;
        fields["sequence_number"] = number++;
        return fmt::format("event: {}\ndata: {}\n\n", type, json::serialize(fields));
    }

    std::string response_event(std::string_view type) { return event(type, {{"response", response}}); }

    /// An event of the open item's place.
    std::string item_event(std::string_view type, json::object fields)
    {
        fields["item_id"] = item.at("id");
        fields["output_index"] = output.size();
        return event(type, std::move(fields));
    }

    TextWords const& words() const { return open == ItemKind::message ? message_words : reasoning_words; }

    std::string new_id(std::string_view kind) const { return fmt::format("{}_{}_{}", kind, suffix, output.size()); }

    std::string open_item(ItemKind kind, json::object fields)
    {
        open = kind;
        item = std::move(fields);
        text.clear();
        auto events = event("response.output_item.added", {{"output_index", output.size()}, {"item", item}});
        if (kind != ItemKind::call) {
            events += item_event("response.content_part.added", {{"content_index", 0}, {"part", words().part("")}});
        }
        return events;
    }

    std::string open_text(ItemKind kind)
    {
        if (kind == ItemKind::message) {
            return open_item(kind, {{"id", new_id("msg")},
                                    {"type", "message"},
                                    {"status", "in_progress"},
                                    {"role", "assistant"},
                                    {"content", json::array{}}});
        }
        return open_item(kind, {{"id", new_id("rs")},
                                {"type", "reasoning"},
                                {"status", "in_progress"},
                                {"summary", json::array{}},
                                {"content", json::array{}}});
    }

    std::string close_text()
    {
        auto const part = words().part(text);
        auto done = json::object{{"content_index", 0}, {"text", text}};
        if (open == ItemKind::message) {
            done["logprobs"] = json::array{};
        }
        auto events = item_event(words().done, std::move(done));
        events += item_event("response.content_part.done", {{"content_index", 0}, {"part", part}});
        item["content"] = json::array{part};
        return events;
    }

    std::string close_call()
    {
        item["arguments"] = text;
        return item_event("response.function_call_arguments.done", {{"arguments", text}, {"name", item.at("name")}});
    }

    /// `status` of the item: completed, or incomplete.
    std::string close_item(std::string_view status)
    {
        if (open == ItemKind::none) {
            return {};
        }
        auto events = open == ItemKind::call ? close_call() : close_text();
        item["status"] = status;
        events += event("response.output_item.done", {{"output_index", output.size()}, {"item", item}});
        output.emplace_back(std::exchange(item, {}));
        open = ItemKind::none;
        return events;
    }

    std::string add_text(ItemKind kind, std::string_view piece)
    {
        auto events = std::string{};
        if (open != kind) {
            events = close_item("completed") + open_text(kind);
        }
        text += piece;
        auto fields = json::object{{"content_index", 0}, {"delta", piece}};
        if (kind == ItemKind::message) {
            fields["logprobs"] = json::array{};
        }
        return events + item_event(words().delta, std::move(fields));
    }

    std::string add_call(json::object const& delta)
    {
        auto const index = whole_number_of(delta, "index").value_or(0);
        auto const* function = find(delta, "function");
        auto const fields = function != nullptr && function->is_object() ? function->get_object() : json::object{};
        auto events = std::string{};
        if (index > call) {
            events = close_item("completed");
            call = index;
            auto call_id = std::string(text_of(delta, "id"));
            events += open_item(ItemKind::call, {{"id", new_id("fc")},
                                                 {"type", "function_call"},
                                                 {"status", "in_progress"},
                                                 {"call_id", call_id.empty() ? new_id("call") : std::move(call_id)},
                                                 {"name", text_of(fields, "name")},
                                                 {"arguments", ""}});
        }
        auto const arguments = text_of(fields, "arguments");
        if (open == ItemKind::call && index == call && !arguments.empty()) {
            text += arguments;
            events += item_event("response.function_call_arguments.delta", {{"delta", arguments}});
        }
        return events;
    }

    std::string add_delta(json::object const& delta)
    {
        auto events = std::string{};
        if (auto const thought = text_of(delta, "reasoning_content"); !thought.empty()) {
            events += add_text(ItemKind::reasoning, thought);
        }
        if (auto const words = text_of(delta, "content"); !words.empty()) {
            events += add_text(ItemKind::message, words);
        }
        if (auto const* calls = find(delta, "tool_calls"); calls != nullptr && calls->is_array()) {
            for (auto const& each : calls->get_array()) {
                events += each.is_object() ? add_call(each.get_object()) : std::string{};
            }
        }
        return events;
    }

    std::string add_choice(json::object const& choice)
    {
        if (auto const reason = text_of(choice, "finish_reason"); !reason.empty()) {
            finish_reason = reason;
        }
        auto const* delta = find(choice, "delta");
        return delta != nullptr && delta->is_object() ? add_delta(delta->get_object()) : std::string{};
    }
};

ResponseWriter::ResponseWriter(json::object response, std::string item_suffix) : state_(std::make_unique<State>())
{
    state_->response = std::move(response);
    state_->suffix = std::move(item_suffix);
}

ResponseWriter::~ResponseWriter() = default;

std::string ResponseWriter::begin()
{
    auto events = state_->response_event("response.created");
    return events + state_->response_event("response.in_progress");
}

Result<std::string> ResponseWriter::add(std::string_view chunk)
{
    auto& state = *state_;
    state.bytes += chunk.size();
    if (state.bytes > max_answer_bytes || state.output.size() > max_output_items) {
        return fail(ErrorKind::too_large, "the answer is larger than {} bytes or {} items", max_answer_bytes,
                    max_output_items);
    }
    auto const parsed = chunk_object(chunk);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    auto const& object = *parsed;
    if (auto const* usage = find(object, "usage"); usage != nullptr && usage->is_object()) {
        state.response["usage"] = usage_from(usage->get_object());
    }
    auto const* choices = find(object, "choices");
    auto events = std::string{};
    if (choices != nullptr && choices->is_array()) {
        for (auto const& choice : choices->get_array()) {
            events += choice.is_object() ? state.add_choice(choice.get_object()) : std::string{};
        }
    }
    return events;
}

std::string ResponseWriter::end(std::int64_t now_seconds)
{
    auto& state = *state_;
    auto const is_cut = state.finish_reason == "length";
    auto events = std::string{};
    if (state.open == ItemKind::none && state.output.empty()) {
        events = state.open_text(ItemKind::message);
    }
    events += state.close_item(is_cut ? "incomplete" : "completed");
    state.response["output"] = state.output;
    state.response["status"] = is_cut ? "incomplete" : "completed";
    if (is_cut) {
        state.response["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
        return events + state.response_event("response.incomplete");
    }
    state.response["completed_at"] = now_seconds;
    return events + state.response_event("response.completed");
}

std::string ResponseWriter::fail_with(Problem const& problem)
{
    auto& state = *state_;
    state.response["output"] = state.output;
    state.response["status"] = "failed";
    state.response["error"] = json::object{{"code", problem.code}, {"message", problem.text}};
    return state.response_event("response.failed");
}

json::object const& ResponseWriter::response() const
{
    return state_->response;
}

}  // namespace plexus::api
