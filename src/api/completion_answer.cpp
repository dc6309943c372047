#include "api/completion_answer.h"

#include <boost/json/serialize.hpp>

#include "api/chat_answer.h"
#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

/// One step of a choice, whichever engine route it came from.
struct Piece {
    std::string text;
    json::value finish_reason;
    json::array chances;  // of tokens, as chat completions have them
    std::optional<std::int64_t> prompt_tokens;
    std::int64_t completion_tokens = 0;
};

json::array list_in(json::object const& object, std::string_view name)
{
    auto const* value = find(object, name);
    return value != nullptr && value->is_array() ? value->get_array() : json::array{};
}

Piece piece_of_completion(json::object const& chunk)
{
    auto piece = Piece{};
    auto const choices = list_in(chunk, "choices");
    if (!choices.empty() && choices[0].is_object()) {
        auto const& choice = choices[0].get_object();
        piece.text = text_of(choice, "text");
        if (auto const* reason = find(choice, "finish_reason")) {
            piece.finish_reason = *reason;
        }
        if (auto const* chances = find(choice, "logprobs"); chances != nullptr && chances->is_object()) {
            piece.chances = list_in(chances->get_object(), "content");
        }
    }
    if (auto const* usage = find(chunk, "usage"); usage != nullptr && usage->is_object()) {
        piece.prompt_tokens = whole_number_of(usage->get_object(), "prompt_tokens").value_or(0);
        piece.completion_tokens = whole_number_of(usage->get_object(), "completion_tokens").value_or(0);
    }
    return piece;
}

Piece piece_of_infill(json::object const& chunk)
{
    auto piece = Piece{};
    piece.text = text_of(chunk, "content");
    piece.chances = list_in(chunk, "completion_probabilities");
    if (flag_of(chunk, "stop")) {
        piece.finish_reason = text_of(chunk, "stop_type") == "limit" ? "length" : "stop";
        piece.prompt_tokens = whole_number_of(chunk, "tokens_evaluated").value_or(0);
        piece.completion_tokens = whole_number_of(chunk, "tokens_predicted").value_or(0);
        piece.chances.clear();  // of all tokens again
    }
    return piece;
}

/// The chances of tokens in the old form, which has lists side by side.
struct OldChances {
    json::array tokens;
    json::array chances;
    json::array rivals;
    json::array offsets;

    void add(json::array const& content, std::size_t offset)
    {
        for (auto const& entry : content) {
            if (!entry.is_object()) {
                continue;
            }
            auto const& fields = entry.get_object();
            auto top = json::object{};
            for (auto const& rival : list_in(fields, "top_logprobs")) {
                if (rival.is_object()) {
                    top[text_of(rival.get_object(), "token")] = value_of(rival.get_object());
                }
            }
            tokens.emplace_back(text_of(fields, "token"));
            chances.emplace_back(value_of(fields));
            rivals.emplace_back(std::move(top));
            offsets.emplace_back(offset);
            offset += text_of(fields, "token").size();
        }
    }

    json::value to_json() const
    {
        if (tokens.empty()) {
            return nullptr;
        }
        return json::object{
            {"tokens", tokens}, {"token_logprobs", chances}, {"top_logprobs", rivals}, {"text_offset", offsets}};
    }

    static json::value value_of(json::object const& fields)
    {
        auto const* value = find(fields, "logprob");
        return value == nullptr ? json::value(nullptr) : *value;
    }
};

struct Choice {
    std::string text;
    json::value finish_reason;
    OldChances chances;
};

json::object to_json(std::size_t index, Choice const& choice)
{
    return {{"index", index},
            {"text", choice.text},
            {"logprobs", choice.chances.to_json()},
            {"finish_reason", choice.finish_reason}};
}

}  // namespace

struct CompletionAnswer::State {
    CompletionHead head;
    std::vector<std::string> echoes;
    std::size_t choices_of_prompt = 1;
    std::vector<Choice> choices = std::vector<Choice>(1);
    bool has_echoed = false;
    std::size_t bytes = 0;
    std::int64_t prompt_tokens = 0;
    std::int64_t completion_tokens = 0;

    json::object object_with(json::array choice_list) const
    {
        return {{"id", head.id},
                {"object", "text_completion"},
                {"created", head.created_seconds},
                {"model", head.model},
                {"choices", std::move(choice_list)}};
    }

    json::object usage() const
    {
        return {{"prompt_tokens", prompt_tokens},
                {"completion_tokens", completion_tokens},
                {"total_tokens", prompt_tokens + completion_tokens}};
    }

    std::string take_echo()
    {
        auto const place = choices.size() - 1;
        return std::exchange(has_echoed, true) || place >= echoes.size() ? std::string{} : echoes[place];
    }

    void count(Piece const& piece)
    {
        if (!piece.prompt_tokens) {
            return;
        }
        completion_tokens += piece.completion_tokens;
        if ((choices.size() - 1) % choices_of_prompt == 0) {
            prompt_tokens += *piece.prompt_tokens;
        }
    }
};

CompletionAnswer::CompletionAnswer(CompletionHead head, std::vector<std::string> echoes, std::size_t choices_of_prompt)
    : state_(std::make_unique<State>())
{
    state_->head = std::move(head);
    state_->echoes = std::move(echoes);
    state_->choices_of_prompt = choices_of_prompt;
}

CompletionAnswer::~CompletionAnswer() = default;

Result<std::string> CompletionAnswer::add(std::string_view chunk)
{
    auto& state = *state_;
    state.bytes += chunk.size();
    if (state.bytes > max_answer_bytes) {
        return fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_answer_bytes);
    }
    auto const parsed = chunk_object(chunk);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    auto const& object = *parsed;
    auto const piece = object.contains("choices") ? piece_of_completion(object) : piece_of_infill(object);
    state.count(piece);

    auto& whole = state.choices.back();
    auto step = Choice{state.take_echo(), piece.finish_reason, {}};
    step.chances.add(piece.chances, whole.text.size() + step.text.size());
    whole.chances.add(piece.chances, whole.text.size() + step.text.size());
    step.text += piece.text;
    whole.text += step.text;
    if (!piece.finish_reason.is_null()) {
        whole.finish_reason = piece.finish_reason;
    }
    if (step.text.empty() && step.finish_reason.is_null() && piece.chances.empty()) {
        return std::string{};
    }
    return json::serialize(state.object_with({to_json(state.choices.size() - 1, step)}));
}

void CompletionAnswer::next_choice()
{
    state_->choices.emplace_back();
    state_->has_echoed = false;
}

std::string CompletionAnswer::usage() const
{
    auto object = state_->object_with({});
    object["usage"] = state_->usage();
    return json::serialize(object);
}

std::string CompletionAnswer::finish() const
{
    auto choices = json::array{};
    for (auto const& choice : state_->choices) {
        choices.emplace_back(to_json(choices.size(), choice));
    }
    auto object = state_->object_with(std::move(choices));
    object["usage"] = state_->usage();
    return json::serialize(object);
}

}  // namespace plexus::api
