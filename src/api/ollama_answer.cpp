#include "api/ollama_answer.h"

#include <cmath>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "api/chat_answer.h"
#include "api/json_fields.h"
#include "api/model_names.h"
#include "api/surface.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

std::string line_of(json::object const& object)
{
    return json::serialize(object) + "\n";
}

}  // namespace

OllamaDialect::OllamaDialect(Env& env, OllamaAnswerOptions options)
    : env_(env), options_(std::move(options)), prefill_(options_.prefill), began_(env.now())
{
}

std::vector<Header> OllamaDialect::headers() const
{
    auto headers = std::vector<Header>{};
    for (auto const& warning : options_.warnings) {
        headers.push_back({"plexus-warning", warning});
    }
    return headers;
}

namespace {

json::object head_of(Env const& env, std::string const& model)
{
    return {{"model", model}, {"created_at", rfc3339(env.wall_now())}};
}

template <typename Calls>
json::array to_json(Calls const& calls)
{
    auto list = json::array{};
    for (auto const& call : calls) {
        auto function = json::object{
            {"index", list.size()}, {"name", call.name}, {"arguments", arguments_object(call.arguments)}};
        list.push_back(json::object{{"function", std::move(function)}});
    }
    return list;
}

/// Puts a part of the answer where the form has it.
template <typename Calls>
void put(json::object& line, bool is_chat, std::string_view text, std::string_view thinking, Calls const& calls)
{
    auto message = json::object{};
    if (is_chat) {
        message = {{"role", "assistant"}, {"content", text}};
        if (!calls.empty()) {
            message["tool_calls"] = to_json(calls);
        }
    }
    auto& owner = is_chat ? message : line;
    if (!is_chat) {
        owner["response"] = text;
    }
    if (!thinking.empty()) {
        owner["thinking"] = thinking;
    }
    if (is_chat) {
        line["message"] = std::move(message);
    }
}

}  // namespace

std::string OllamaDialect::line(std::string_view text, std::string_view thinking, std::vector<Call> const& calls)
{
    auto object = head_of(env_, options_.model);
    put(object, options_.form == OllamaAnswerOptions::Form::chat, text, thinking, calls);
    object["done"] = false;
    return line_of(object);
}

std::string OllamaDialect::last_line(std::string_view text, std::string_view thinking, std::vector<Call> const& calls)
{
    auto object = head_of(env_, options_.model);
    put(object, options_.form == OllamaAnswerOptions::Form::chat, text, thinking, calls);
    auto const now = env_.now();
    auto const before = first_piece_.value_or(now) - began_ - times_.prompt;
    object["done"] = true;
    object["done_reason"] = finish_reason_ == "length" ? "length" : "stop";
    object["total_duration"] = (now - began_).count();
    object["load_duration"] = std::max(before, Duration::zero()).count();
    object["prompt_eval_count"] = tokens_.prompt;
    object["prompt_eval_duration"] = times_.prompt.count();
    object["eval_count"] = tokens_.completion;
    object["eval_duration"] = times_.completion.count();
    return line_of(object);
}

std::string OllamaDialect::keep_alive()
{
    return line("", "");
}

Result<void> OllamaDialect::count(std::size_t bytes)
{
    bytes_ += bytes;
    return bytes_ <= max_answer_bytes
               ? Result<void>{}
               : fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_answer_bytes);
}

Result<void> OllamaDialect::add_call(CallPiece const& piece)
{
    if (calls_.empty() || calls_.back().index != piece.index) {
        if (piece.name.empty() || (!calls_.empty() && piece.index < calls_.back().index)) {
            return fail(ErrorKind::malformed, "the engine's calls of tools are not in order");
        }
        calls_.push_back({.index = piece.index, .name = piece.name, .arguments = {}});
    }
    calls_.back().arguments += piece.arguments;
    return count(piece.arguments.size());
}

Result<std::string> OllamaDialect::chunk(std::string chunk)
{
    auto piece = parse_answer_piece(chunk);
    if (!piece) {
        return std::unexpected(piece.error());
    }
    if (!first_piece_) {
        first_piece_ = env_.now();
    }
    finish_reason_ = piece->finish_reason.empty() ? finish_reason_ : piece->finish_reason;
    tokens_ = piece->tokens.value_or(tokens_);
    times_ = piece->times.value_or(times_);
    for (auto const& call : piece->calls) {
        if (auto const added = add_call(call); !added) {
            return std::unexpected(added.error());
        }
    }
    auto const text = prefill_.pass(std::move(piece->text));
    auto const thinking = options_.shows_thinking ? std::move(piece->reasoning) : std::string{};
    if (options_.stream) {
        return text.empty() && thinking.empty() ? std::string{} : line(text, thinking);
    }
    text_ += text;
    thinking_ += thinking;
    auto const counted = count(text.size() + thinking.size());
    return counted ? Result<std::string>() : std::unexpected(counted.error());
}

std::string OllamaDialect::end()
{
    auto const told = calls_.empty() ? std::string{} : line("", "", calls_);
    return told + last_line("", "", {});
}

std::string OllamaDialect::failure(Problem const& problem)
{
    return ollama_error_text(problem) + "\n";
}

Response OllamaDialect::whole()
{
    return {200, {{"content-type", "application/json"}}, last_line(text_, thinking_, calls_)};
}

Response OllamaDialect::refusal(Problem const& problem)
{
    return ollama_error(problem);
}

std::string OllamaDialect::nothing_asked(std::string_view reason)
{
    auto object = head_of(env_, options_.model);
    put(object, options_.form == OllamaAnswerOptions::Form::chat, "", "", calls_);
    object["done"] = true;
    object["done_reason"] = reason;
    return line_of(object);
}

OllamaEmbedDialect::OllamaEmbedDialect(Env& env, Form form, std::string model, std::size_t dimensions)
    : env_(env), form_(form), model_(std::move(model)), dimensions_(dimensions), began_(env.now())
{
}

namespace {

/// The vectors of an OpenAI answer, in the order of their inputs. Nothing if it is not made as it should be.
std::optional<json::array> vectors_of(json::object const& answer)
{
    auto const* data = find(answer, "data");
    if (data == nullptr || !data->is_array()) {
        return std::nullopt;
    }
    auto vectors = json::array(data->get_array().size());
    for (auto const& each : data->get_array()) {
        auto const* index = each.is_object() ? find(each.get_object(), "index") : nullptr;
        auto const* vector = each.is_object() ? find(each.get_object(), "embedding") : nullptr;
        auto const place = index != nullptr && index->is_int64() ? static_cast<std::size_t>(index->get_int64())
                                                                 : SIZE_MAX;
        if (place >= vectors.size() || vector == nullptr || !vector->is_array() ||
            !std::ranges::all_of(vector->get_array(), &json::value::is_number)) {
            return std::nullopt;
        }
        vectors[place] = *vector;
    }
    auto const is_whole = std::ranges::all_of(vectors, &json::value::is_array);
    return is_whole ? std::optional(std::move(vectors)) : std::nullopt;
}

void shorten(json::array& vector, std::size_t dimensions)
{
    if (dimensions == 0 || dimensions >= vector.size()) {
        return;
    }
    vector.resize(dimensions);
    auto squares = 0.0;
    for (auto const& each : vector) {
        squares += std::pow(each.to_number<double>(), 2);
    }
    for (auto& each : vector) {
        each = squares > 0 ? each.to_number<double>() / std::sqrt(squares) : 0.0;
    }
}

}  // namespace

Response OllamaEmbedDialect::whole()
{
    auto const answer = parse_object(take_document());
    auto vectors = answer ? vectors_of(*answer) : std::nullopt;
    if (!vectors || (form_ == Form::embeddings && vectors->empty())) {
        return refusal(problem_from(Error{ErrorKind::refused, "the engine sent no embeddings"}));
    }
    for (auto& vector : *vectors) {
        shorten(vector.get_array(), dimensions_);
    }
    auto body = json::object{};
    if (form_ == Form::embeddings) {
        body["embedding"] = std::move(vectors->front());
    } else {
        auto const* usage = find(*answer, "usage");
        auto const* tokens = usage != nullptr && usage->is_object() ? find(usage->get_object(), "prompt_tokens")
                                                                    : nullptr;
        body = {{"model", model_},
                {"embeddings", std::move(*vectors)},
                {"total_duration", (env_.now() - began_).count()},
                {"load_duration", 0},
                {"prompt_eval_count", tokens != nullptr && tokens->is_number() ? *tokens : json::value(0)}};
    }
    return {200, {{"content-type", "application/json"}}, json::serialize(body)};
}

Response OllamaEmbedDialect::refusal(Problem const& problem)
{
    return ollama_error(problem);
}

std::string OllamaEmbedDialect::nothing_asked() const
{
    if (form_ == Form::embeddings) {
        return R"({"embedding":[]})";
    }
    return json::serialize(json::object{{"model", model_},
                                        {"embeddings", json::array{}},
                                        {"total_duration", (env_.now() - began_).count()},
                                        {"load_duration", 0},
                                        {"prompt_eval_count", 0}});
}

}  // namespace plexus::api
