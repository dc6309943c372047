#include "api/anthropic_answer.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "api/chat_answer.h"
#include "api/json_fields.h"
#include "api/surface.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

std::string event(std::string_view type, json::object fields)
{
    auto data = json::object{{"type", type}};
    for (auto& field : fields) {
        data[field.key()] = std::move(field.value());
    }
    return fmt::format("event: {}\ndata: {}\n\n", type, json::serialize(data));
}

std::vector<Header> warning_of(std::vector<std::string> const& left_out)
{
    return left_out.empty() ? std::vector<Header>{}
                            : std::vector<Header>{
                                  {"plexus-warning", fmt::format("not here, left out: {}", fmt::join(left_out, ", "))}};
}

std::string suffix_of(std::string const& request_id)
{
    return request_id.substr(request_id.find('_') + 1);
}

/// Why the message ended, in Anthropic's word.
std::string_view stop_reason(std::string_view finish_reason, bool has_calls)
{
    if (finish_reason == "length") {
        return "max_tokens";
    }
    if (finish_reason == "content_filter") {
        return "refusal";
    }
    return has_calls ? "tool_use" : "end_turn";
}

/// A block of the message. Text is kept only for a client that wants the message whole.
struct Block {
    enum class Kind { thinking, text, tool_use } kind = Kind::text;
    std::string text{};  ///< for a call its arguments
    std::string id{};
    std::string name{};
};

}  // namespace

struct AnthropicDialect::State {
    explicit State(AnthropicAnswerOptions given)
        : options(std::move(given)), suffix(suffix_of(options.request_id)), prefill(options.prefill)
    {
    }

    json::object content_of(Block const& block, bool is_start) const;
    json::object message(json::array content) const;
    json::object usage() const;
    std::string open(Block block);
    std::string close();
    std::string add(std::string_view delta, std::string_view field, std::string_view text);
    std::string add_text(Block::Kind kind, std::string_view text);
    Result<std::string> add_call(CallPiece const& piece);

    AnthropicAnswerOptions options;
    std::string suffix;
    PrefillFilter prefill;
    std::vector<Block> blocks;  // the last is open if is_open
    bool is_open = false;
    std::optional<std::size_t> last_call;  // index in the engine's words
    std::size_t calls = 0;
    std::size_t bytes = 0;
    std::string finish_reason;
    TokenCounts tokens;
};

json::object AnthropicDialect::State::content_of(Block const& block, bool is_start) const
{
    switch (block.kind) {
    case Block::Kind::thinking:
        return {{"type", "thinking"}, {"thinking", block.text}, {"signature", is_start ? "" : "plexus_" + suffix}};
    case Block::Kind::text: return {{"type", "text"}, {"text", block.text}, {"citations", nullptr}};
    case Block::Kind::tool_use: break;
    }
    auto input = is_start ? json::object{} : arguments_object(block.text);
    return {{"type", "tool_use"}, {"id", block.id}, {"name", block.name}, {"input", std::move(input)}};
}

json::object AnthropicDialect::State::usage() const
{
    auto const cached = std::min(tokens.cached, tokens.prompt);
    return {{"input_tokens", tokens.prompt - cached},
            {"output_tokens", tokens.completion},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", cached}};
}

json::object AnthropicDialect::State::message(json::array content) const
{
    return {
        {"id", "msg_" + suffix},         {"type", "message"},      {"role", "assistant"},      {"model", options.model},
        {"content", std::move(content)}, {"stop_reason", nullptr}, {"stop_sequence", nullptr}, {"usage", usage()}};
}

std::string AnthropicDialect::State::open(Block block)
{
    auto written = close();
    blocks.push_back(std::move(block));
    is_open = true;
    return written + event("content_block_start",
                           {{"index", blocks.size() - 1}, {"content_block", content_of(blocks.back(), true)}});
}

std::string AnthropicDialect::State::close()
{
    if (!std::exchange(is_open, false)) {
        return {};
    }
    auto written = std::string{};
    if (blocks.back().kind == Block::Kind::thinking) {
        auto delta = json::object{{"type", "signature_delta"}, {"signature", "plexus_" + suffix}};
        written = event("content_block_delta", {{"index", blocks.size() - 1}, {"delta", std::move(delta)}});
    }
    return written + event("content_block_stop", {{"index", blocks.size() - 1}});
}

/// More of the open block.
std::string AnthropicDialect::State::add(std::string_view delta, std::string_view field, std::string_view text)
{
    if (!options.stream) {
        blocks.back().text += text;
        return {};
    }
    auto fields = json::object{{"type", delta}, {field, text}};
    return event("content_block_delta", {{"index", blocks.size() - 1}, {"delta", std::move(fields)}});
}

std::string AnthropicDialect::State::add_text(Block::Kind kind, std::string_view text)
{
    if (text.empty()) {
        return {};
    }
    auto written = std::string{};
    if (!is_open || blocks.back().kind != kind) {
        written = open({.kind = kind});
    }
    if (kind == Block::Kind::text) {
        return written + add("text_delta", "text", text);
    }
    return options.shows_thinking ? written + add("thinking_delta", "thinking", text) : written;
}

Result<std::string> AnthropicDialect::State::add_call(CallPiece const& piece)
{
    auto written = std::string{};
    if (!last_call || *last_call != piece.index) {
        if (piece.name.empty() || (last_call && piece.index < *last_call) || calls >= max_tool_calls) {
            return fail(ErrorKind::malformed, "the engine's calls of tools are not in order");
        }
        auto id = piece.id.empty() ? fmt::format("toolu_{}_{}", suffix, piece.index) : piece.id;
        written = open({.kind = Block::Kind::tool_use, .id = std::move(id), .name = piece.name});
        last_call = piece.index;
        ++calls;
    } else if (!is_open || blocks.back().kind != Block::Kind::tool_use) {
        return fail(ErrorKind::malformed, "the engine went on with a call of a tool that had ended");
    }
    return piece.arguments.empty() ? written : written + add("input_json_delta", "partial_json", piece.arguments);
}

AnthropicDialect::AnthropicDialect(AnthropicAnswerOptions options) : state_(std::make_unique<State>(std::move(options)))
{
}

AnthropicDialect::~AnthropicDialect() = default;

std::vector<Header> AnthropicDialect::headers() const
{
    return warning_of(state_->options.left_out);
}

std::string AnthropicDialect::begin()
{
    return event("message_start", {{"message", state_->message({})}});
}

std::string AnthropicDialect::keep_alive()
{
    return event("ping", {});
}

Result<std::string> AnthropicDialect::chunk(std::string chunk)
{
    auto& state = *state_;
    state.bytes += state.options.stream ? 0 : chunk.size();
    if (state.bytes > max_answer_bytes) {
        return fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_answer_bytes);
    }
    auto piece = parse_answer_piece(chunk);
    if (!piece) {
        return std::unexpected(piece.error());
    }
    if (!piece->finish_reason.empty()) {
        state.finish_reason = piece->finish_reason;
    }
    state.tokens = piece->tokens.value_or(state.tokens);
    auto written = state.add_text(Block::Kind::thinking, piece->reasoning);
    written += state.add_text(Block::Kind::text, state.prefill.pass(std::move(piece->text)));
    for (auto const& call : piece->calls) {
        auto const added = state.add_call(call);
        if (!added) {
            return added;
        }
        written += *added;
    }
    return state.options.stream ? std::move(written) : std::string{};
}

std::string AnthropicDialect::end()
{
    auto& state = *state_;
    auto delta = json::object{{"stop_reason", stop_reason(state.finish_reason, state.calls > 0)},
                              {"stop_sequence", nullptr}};
    auto written = state.close();
    written += event("message_delta", {{"delta", std::move(delta)}, {"usage", state.usage()}});
    return written + event("message_stop", {});
}

std::string AnthropicDialect::failure(Problem const& problem)
{
    return fmt::format("event: error\ndata: {}\n\n", anthropic_error_text(problem, state_->options.request_id));
}

Response AnthropicDialect::whole()
{
    auto& state = *state_;
    auto content = json::array{};
    for (auto const& block : state.blocks) {
        content.push_back(state.content_of(block, false));
    }
    auto message = state.message(std::move(content));
    message["stop_reason"] = stop_reason(state.finish_reason, state.calls > 0);
    return {200, {{"content-type", "application/json"}}, json::serialize(message)};
}

Response AnthropicDialect::refusal(Problem const& problem)
{
    return anthropic_error(problem, state_->options.request_id);
}

std::vector<Header> AnthropicCountDialect::headers() const
{
    return warning_of(left_out_);
}

Response AnthropicCountDialect::whole()
{
    auto const counted = parse_object(take_document());
    auto const* tokens = counted ? find(*counted, "tokens") : nullptr;
    if (tokens == nullptr || !tokens->is_number()) {
        return refusal(problem_from(Error{ErrorKind::refused, "the engine did not count the tokens"}));
    }
    auto body = json::serialize(json::object{{"input_tokens", *tokens}});
    return {200, {{"content-type", "application/json"}}, std::move(body)};
}

Response AnthropicCountDialect::refusal(Problem const& problem)
{
    return anthropic_error(problem, request_id_);
}

}  // namespace plexus::api
