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

namespace {

/// Adds the usage of one more choice of the same prompt.
void add_usage(json::object& total, json::object const& usage)
{
    if (total.empty()) {
        total = usage;
        return;
    }
    auto const completion = whole_number_of(total, "completion_tokens").value_or(0) +
                            whole_number_of(usage, "completion_tokens").value_or(0);
    total["completion_tokens"] = completion;
    total["total_tokens"] = whole_number_of(total, "prompt_tokens").value_or(0) + completion;
}

struct Choice {
    json::object message;
    json::array calls;
    json::value finish_reason;
    json::array logprobs;

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

    void add(json::object const& choice)
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

    json::object finish(std::size_t index)
    {
        auto whole = json::object{{"role", "assistant"}, {"content", nullptr}};
        for (auto const& field : message) {
            whole[field.key()] = field.value();
        }
        if (!calls.empty()) {
            whole["tool_calls"] = std::move(calls);
        } else if (whole["content"].is_null()) {
            whole["content"] = "";
        }
        auto choice = json::object{
            {"index", index}, {"message", std::move(whole)}, {"finish_reason", finish_reason}, {"logprobs", nullptr}};
        if (!logprobs.empty()) {
            choice["logprobs"] = json::object{{"content", std::move(logprobs)}};
        }
        return choice;
    }
};

}  // namespace

Result<json::object> chunk_object(std::string_view chunk)
{
    auto code = boost::system::error_code{};
    auto value = json::parse(chunk, code);
    if (code || !value.is_object()) {
        return fail(ErrorKind::malformed, "the engine sent a chunk that is not a JSON object");
    }
    return std::move(value.get_object());
}

struct AnswerAssembler::State {
    json::object head;  // id, created, model, timings and whatever else a chunk carries beside the choices
    json::object usage;
    std::vector<Choice> choices = std::vector<Choice>(1);
    std::size_t bytes = 0;

    void add_head(json::object const& chunk)
    {
        for (auto const& field : chunk) {
            auto const is_kept = field.key() == "id" && head.contains("id");
            if (field.key() == "choices" || field.key() == "object" || field.value().is_null() || is_kept) {
                continue;
            }
            auto const [known, is_new] = head.emplace(field.key(), field.value());
            if (!is_new && known->value() != field.value()) {
                known->value() = field.value();
            }
        }
        if (auto const* counts = object_in(chunk, "usage")) {
            add_usage(usage, *counts);
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
    auto const object = chunk_object(chunk);
    if (!object) {
        return std::unexpected(object.error());
    }
    state.add_head(*object);
    auto const* choices = find(*object, "choices");
    if (choices != nullptr && choices->is_array()) {
        for (auto const& choice : choices->get_array()) {
            if (choice.is_object()) {
                state.choices.back().add(choice.get_object());
            }
        }
    }
    return {};
}

void AnswerAssembler::next_choice()
{
    state_->choices.emplace_back();
}

std::string AnswerAssembler::finish()
{
    auto& state = *state_;
    auto choices = json::array{};
    for (auto& choice : state.choices) {
        choices.emplace_back(choice.finish(choices.size()));
    }
    auto answer = json::object{{"object", "chat.completion"}, {"choices", std::move(choices)}};
    for (auto const& field : state.head) {
        answer[field.key()] = field.value();
    }
    if (!state.usage.empty()) {
        answer["usage"] = state.usage;
    }
    return json::serialize(answer);
}

struct ChunkWriter::State {
    bool has_choices = false;
    bool include_usage = false;
    std::size_t choice = 0;
    json::value id;       // of the first chunk; where an answer goes on elsewhere, the rest has another
    std::string id_text;  // as it stands in a chunk
    json::object head;  // of the last chunk that told usage
    json::object usage;
    std::vector<json::object> told;  // by tool call: what the client knows of it

    bool is_plain(std::string const& chunk) const
    {
        return !has_choices && chunk.find("\"tool_calls\"") == std::string::npos &&
               (include_usage || chunk.find("\"usage\"") == std::string::npos) && !id_text.empty() &&
               chunk.contains(id_text);
    }

    void keep_id(json::object& chunk)
    {
        auto const* const given = find(chunk, "id");
        if (given == nullptr) {
            return;
        }
        if (id.is_null()) {
            id = *given;
            id_text = json::serialize(id);
        }
        chunk["id"] = id;
    }

    /// True if the chunk was about usage alone.
    bool take_usage(json::object& chunk)
    {
        auto const* counts = object_in(chunk, "usage");
        if (counts == nullptr || (include_usage && !has_choices)) {
            return false;
        }
        add_usage(usage, *counts);
        chunk.erase("usage");
        auto const* choices = find(chunk, "choices");
        auto const is_alone = choices == nullptr || !choices->is_array() || choices->get_array().empty();
        if (is_alone) {
            head = chunk;
        }
        return is_alone;
    }

    void write_choice(json::object& written)
    {
        if (has_choices) {
            written["index"] = choice;
        }
        auto* delta = written.if_contains("delta");
        auto* calls = delta != nullptr && delta->is_object() ? delta->get_object().if_contains("tool_calls") : nullptr;
        if (calls == nullptr || !calls->is_array()) {
            return;
        }
        for (auto& call : calls->get_array()) {
            if (call.is_object()) {
                tell_once(call.get_object());
            }
        }
    }

    /// Drops what has been told of the call already.
    void tell_once(json::object& call)
    {
        auto const index = whole_number_of(call, "index").value_or(0);
        if (index < 0 || static_cast<std::size_t>(index) >= max_tool_calls) {
            return;
        }
        told.resize(std::max(told.size(), static_cast<std::size_t>(index) + 1));
        auto& known = told[static_cast<std::size_t>(index)];
        tell_once(call, "id", known);
        tell_once(call, "type", known);
        if (auto* function = call.if_contains("function"); function != nullptr && function->is_object()) {
            tell_once(function->get_object(), "name", known);
        }
    }

    static void tell_once(json::object& fields, std::string_view name, json::object& known)
    {
        auto const* value = fields.if_contains(name);
        if (value != nullptr && (known.contains(name) || value->is_null() || *value == "")) {
            fields.erase(name);
        } else if (value != nullptr) {
            known[name] = true;
        }
    }
};

ChunkWriter::ChunkWriter(bool has_choices, bool include_usage) : state_(std::make_unique<State>())
{
    state_->has_choices = has_choices;
    state_->include_usage = include_usage;
}

ChunkWriter::~ChunkWriter() = default;

Result<std::string> ChunkWriter::write(std::string chunk)
{
    auto& state = *state_;
    if (state.is_plain(chunk)) {
        return chunk;
    }
    auto parsed = chunk_object(chunk);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    auto& object = *parsed;
    state.keep_id(object);
    if (state.take_usage(object)) {
        return std::string{};
    }
    if (auto* choices = object.if_contains("choices"); choices != nullptr && choices->is_array()) {
        for (auto& choice : choices->get_array()) {
            if (choice.is_object()) {
                state.write_choice(choice.get_object());
            }
        }
    }
    return json::serialize(object);
}

void ChunkWriter::next_choice()
{
    ++state_->choice;
    state_->told.clear();
}

std::string ChunkWriter::last() const
{
    auto const& state = *state_;
    if (!state.has_choices || !state.include_usage || state.usage.empty()) {
        return {};
    }
    auto chunk = state.head;
    chunk["choices"] = json::array{};
    chunk["usage"] = state.usage;
    return json::serialize(chunk);
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

}  // namespace plexus::api
