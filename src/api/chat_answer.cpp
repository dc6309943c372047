#include "api/chat_answer.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

void append_text(json::object& target, std::string_view name, json::object const& delta)
{
    auto const* text = find(delta, name);
    if (text == nullptr || !text->is_string()) {
        return;
    }
    auto& whole = target[name];
    if (!whole.is_string()) {
        whole.emplace_string();
    }
    whole.get_string().append(text->get_string());
}

/// Arguments come in pieces, the rest once.
void merge_call(json::object& call, json::object const& delta)
{
    for (auto const& field : delta) {
        if (field.key() == "index" || field.key() == "function") {
            continue;
        }
        call[field.key()] = field.value();
    }
    auto const* function = find(delta, "function");
    if (function == nullptr || !function->is_object()) {
        return;
    }
    auto& whole = call["function"];
    if (!whole.is_object()) {
        whole.emplace_object();
    }
    if (auto const* name = find(function->get_object(), "name")) {
        whole.get_object()["name"] = *name;
    }
    append_text(whole.get_object(), "arguments", function->get_object());
}

}  // namespace

struct AnswerAssembler::State {
    json::object head;  // id, created, model, usage, timings and whatever else a chunk carries beside the choices
    json::object message;
    json::array calls;
    json::value finish_reason;
    json::array logprobs;
    std::size_t bytes = 0;

    void add_calls(json::array const& deltas)
    {
        for (auto const& delta : deltas) {
            if (!delta.is_object()) {
                continue;
            }
            auto const* index = find(delta.get_object(), "index");
            auto const place = index != nullptr && index->is_int64() ? index->get_int64() : 0;
            if (place < 0 || static_cast<std::size_t>(place) >= max_tool_calls) {
                continue;
            }
            while (calls.size() <= static_cast<std::size_t>(place)) {
                calls.emplace_back(json::object{});
            }
            merge_call(calls[static_cast<std::size_t>(place)].get_object(), delta.get_object());
        }
    }

    void add_choice(json::object const& choice)
    {
        if (auto const* reason = find(choice, "finish_reason")) {
            finish_reason = *reason;
        }
        auto const* chances = find(choice, "logprobs");
        auto const* content =
            chances != nullptr && chances->is_object() ? find(chances->get_object(), "content") : nullptr;
        if (content != nullptr && content->is_array()) {
            logprobs.insert(logprobs.end(), content->get_array().begin(), content->get_array().end());
        }
        auto const* delta = find(choice, "delta");
        if (delta == nullptr || !delta->is_object()) {
            return;
        }
        append_text(message, "content", delta->get_object());
        append_text(message, "reasoning_content", delta->get_object());
        append_text(message, "refusal", delta->get_object());
        if (auto const* list = find(delta->get_object(), "tool_calls"); list != nullptr && list->is_array()) {
            add_calls(list->get_array());
        }
    }
};

AnswerAssembler::AnswerAssembler() : state_(std::make_unique<State>()) {}
AnswerAssembler::~AnswerAssembler() = default;

Result<void> AnswerAssembler::add(std::string_view chunk)
{
    auto& state = *state_;
    state.bytes += chunk.size();
    if (state.bytes > max_answer_bytes) {
        return fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_answer_bytes);
    }
    auto code = boost::system::error_code{};
    auto const value = json::parse(chunk, code);
    if (code || !value.is_object()) {
        return fail(ErrorKind::malformed, "the engine sent a chunk that is not a JSON object");
    }
    for (auto const& field : value.get_object()) {
        if (field.key() != "choices" && field.key() != "object" && !field.value().is_null()) {
            state.head[field.key()] = field.value();
        }
    }
    auto const* choices = find(value.get_object(), "choices");
    if (choices != nullptr && choices->is_array()) {
        for (auto const& choice : choices->get_array()) {
            if (choice.is_object()) {
                state.add_choice(choice.get_object());
            }
        }
    }
    return {};
}

std::string AnswerAssembler::finish()
{
    auto& state = *state_;
    auto message = json::object{{"role", "assistant"}, {"content", nullptr}};
    for (auto const& field : state.message) {
        message[field.key()] = field.value();
    }
    if (!state.calls.empty()) {
        message["tool_calls"] = state.calls;
    } else if (message["content"].is_null()) {
        message["content"] = "";
    }
    auto choice = json::object{
        {"index", 0}, {"message", std::move(message)}, {"finish_reason", state.finish_reason}, {"logprobs", nullptr}};
    if (!state.logprobs.empty()) {
        choice["logprobs"] = json::object{{"content", state.logprobs}};
    }
    auto answer = json::object{{"object", "chat.completion"}, {"choices", json::array{std::move(choice)}}};
    for (auto const& field : state.head) {
        answer[field.key()] = field.value();
    }
    return json::serialize(answer);
}

std::string with_model_name(std::string chunk, std::string_view name)
{
    // Text in a chunk has its quotes escaped, so these bytes can only be the field.
    constexpr auto engine_word = std::string_view(R"("model":"model")");
    if (auto const place = chunk.find(engine_word); place != std::string::npos) {
        chunk.replace(place, engine_word.size(), "\"model\":" + json::serialize(json::string(name)));
    }
    return chunk;
}

std::string chunk_for_client(std::string chunk, bool include_usage)
{
    if (include_usage || chunk.find("\"usage\"") == std::string::npos) {
        return chunk;
    }
    auto code = boost::system::error_code{};
    auto value = json::parse(chunk, code);
    if (code || !value.is_object()) {
        return chunk;
    }
    auto& object = value.get_object();
    auto const* choices = find(object, "choices");
    auto const has_choices = choices != nullptr && choices->is_array() && !choices->get_array().empty();
    if (!has_choices && find(object, "usage") != nullptr) {
        return {};
    }
    object.erase("usage");
    return json::serialize(object);
}

}  // namespace plexus::api
