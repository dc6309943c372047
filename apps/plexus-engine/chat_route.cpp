#include "chat_route.h"

#include <fmt/ranges.h>

#include "common.h"
#include "server-common.h"
#include "server-schema.h"

namespace plexus::engine {

llama_tokens Pieces::tokens_of(std::string const& text) const
{
    auto tokens = common_tokenize(vocab_, text, false, true);
    // Some vocabularies put a space in front of a text.
    if (!tokens.empty() && text_of({tokens.front()}).starts_with(' ') && !text.starts_with(' ')) {
        tokens.erase(tokens.begin());
    }
    return tokens;
}

std::string Pieces::text_of(llama_tokens const& tokens) const
{
    auto text = std::string{};
    for (auto const token : tokens) {
        text += common_token_to_piece(vocab_, token, shows_special_ || preserved_.contains(token));
    }
    return text;
}

namespace {

constexpr std::size_t max_repeated_tokens = 64;

/// Takes the tokens of the answer so far out of the body.
llama_tokens take_said(json& body, llama_vocab const* vocab)
{
    auto const said = body.contains("plexus_said") ? body.at("plexus_said") : json::array();
    body.erase("plexus_said");
    auto tokens = llama_tokens{};
    for (auto const& each : said.is_array() ? said : json::array({said})) {
        auto const token = each.is_number_integer() ? each.get<std::int64_t>() : -1;
        if (token < 0 || token >= llama_vocab_n_tokens(vocab)) {
            throw std::invalid_argument("the answer so far holds what is no token of the model");
        }
        tokens.push_back(static_cast<llama_token>(token));
    }
    return tokens;
}

void add_field(json& delta, std::string const& name, json const& value)
{
    auto& target = delta[name];
    if (target.is_string() && value.is_string()) {
        target = target.get<std::string>() + value.get<std::string>();
    } else if (target.is_array() && value.is_array()) {
        target.insert(value);
    } else {
        target = value;
    }
}

/// One chunk that says what both say, one after the other.
void add_chunk(json& whole, json const& chunk)
{
    for (auto const& [name, value] : chunk.items()) {
        if (name != "choices") {
            whole[name] = value;
        }
    }
    auto& choice = whole["choices"][0];
    for (auto const& [name, value] : chunk["choices"][0].items()) {
        if (name != "delta") {
            choice[name] = value;
        }
    }
    for (auto const& [name, value] : chunk["choices"][0]["delta"].items()) {
        add_field(choice["delta"], name, value);
    }
}

/// The tokens of what was said, from one time that they are taken to the next.
class SaidTokens {
public:
    explicit SaidTokens(Pieces pieces) : pieces_(std::move(pieces)) {}

    void note(server_task_result_cmpl_partial const& part)
    {
        text_ += part.content;
        std::ranges::remove_copy_if(part.tokens, std::back_inserter(tokens_),
                                    [&](llama_token token) { return pieces_.ends_answer(token); });
    }

    /// llama.cpp tells no token that only begins a character, and more than is said where a stop word ends the answer: then
    /// the tokens are those that the text has. None from where there are none that have just this text.
    llama_tokens take()
    {
        auto const text = std::exchange(text_, {});
        auto tokens = std::exchange(tokens_, {});
        if (pieces_.text_of(tokens) != text) {
            tokens = pieces_.tokens_of(text);
            is_known_ = is_known_ && pieces_.text_of(tokens) == text;
        }
        return is_known_ ? tokens : llama_tokens{};
    }

private:
    Pieces pieces_;
    llama_tokens tokens_;
    std::string text_;
    bool is_known_ = true;
};

/// Makes the tokens the end of the prompt, and what they say a beginning that the parser and the grammar have seen.
void go_on_behind(server_task& task, llama_tokens const& said, Pieces const& pieces)
{
    auto& params = task.params;
    auto const text = pieces.text_of(said);
    task.tokens.insert(said);
    params.chat_parser_params.generation_prompt += text;
    params.chat_parser_params.is_continuation = true;
    params.sampling.generation_prompt += text;
    if (params.n_predict > 0) {
        params.n_predict = std::max(params.n_predict - static_cast<std::int32_t>(said.size()), 1);
    }
}

/// Of calls that the client knows, all but further arguments.
void forget_names(json& chunk, std::size_t known_calls)
{
    auto& delta = chunk["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) {
        return;
    }
    for (auto& call : delta["tool_calls"]) {
        if (call.at("index").get<std::size_t>() < known_calls) {
            call.erase("id");
            call.erase("type");
            if (call.contains("function")) {
                call["function"].erase("name");
            }
        }
    }
}

bool is_choice(json const& chunk)
{
    return !chunk.at("choices").empty();
}

/// An answer under way, of one choice.
class Answer {
public:
    Answer(ChatRoute const& route, json data, llama_tokens said, std::function<bool()> const& should_stop)
        : route_(route), data_(std::move(data)), said_(std::move(said)), should_stop_(should_stop)
    {
    }

    /// The first result: nothing if it was stopped.
    server_task_result_ptr begin()
    {
        auto task = route_.make_task(data_);
        auto const& sampling = task.params.sampling;
        auto const is_fixed = sampling.temp <= 0 || sampling.seed != LLAMA_DEFAULT_SEED;
        if (is_fixed && said_.size() <= max_repeated_tokens) {
            repeated_ = said_.size();
            start(std::move(task));
        } else {
            start_behind(std::move(task));
        }
        return reader_->next(should_stop_);
    }

    /// The next events; false with the last.
    bool next(std::string& events)
    {
        try {
            auto const result = reader_->has_next() ? reader_->next(should_stop_) : nullptr;
            events = result == nullptr ? std::string{} : events_of(*result);
            return result != nullptr && !result->is_error();
        } catch (std::exception const& exception) {  // what the model said is not what its template lets it say
            events = format_oai_sse(json{{"error", format_error_response(exception.what(), ERROR_TYPE_SERVER)}});
            return false;
        }
    }

    std::string events_of(server_task_result& result)
    {
        if (result.is_error()) {
            return format_oai_sse(json{{"error", result.to_json()}});
        }
        if (auto* const part = dynamic_cast<server_task_result_cmpl_partial*>(&result)) {
            return part->is_progress || part->is_begin || is_full_ ? std::string{} : events_of_part(*part);
        }
        if (repeated_ > 0) {
            start_behind(route_.make_task(data_));
            return {};
        }
        auto& last = dynamic_cast<server_task_result_cmpl_final&>(result);
        last.n_decoded += is_full_ ? before_ - last.n_decoded : before_;
        if (is_full_) {
            last.oaicompat_msg_diffs.clear();
            last.stop = STOP_TYPE_LIMIT;
        }
        last.n_prompt_tokens -= before_;
        last.n_prompt_tokens_cache = std::min(last.n_prompt_tokens_cache, last.n_prompt_tokens);
        return written(last.to_json());
    }

private:
    void start(server_task task)
    {
        reader_.reset();
        reader_ = std::make_unique<server_response_reader>(route_.reader());
        tokens_ = std::make_unique<SaidTokens>(route_.pieces_of(task));
        task.id = reader_->get_new_id();
        auto tasks = std::vector<server_task>{};
        tasks.push_back(std::move(task));
        reader_->post_tasks(std::move(tasks));
    }

    void start_behind(server_task task)
    {
        repeated_ = 0;
        before_ = static_cast<std::int32_t>(said_.size());
        is_full_ = task.params.n_predict > 0 && before_ >= task.params.n_predict;
        if (!said_.empty()) {
            go_on_behind(task, said_, route_.pieces_of(task));
            known_calls_ = common_chat_parse("", true, task.params.chat_parser_params).tool_calls.size();
        }
        start(std::move(task));
    }

    std::string events_of_part(server_task_result_cmpl_partial& part)
    {
        tokens_->note(part);
        part.n_decoded += before_;
        auto const chunks = part.to_json();
        return repeated_ > 0 ? repeated(chunks) : written(chunks);
    }

    /// Nothing is said twice: what comes is compared with what was said. Where it differs, the rest is said behind that.
    std::string repeated(json const& chunks)
    {
        if (chunks.empty()) {
            return {};
        }
        auto const tokens = tokens_->take();
        auto const begin = said_.end() - static_cast<std::ptrdiff_t>(repeated_);
        if (tokens.size() > repeated_ || !std::equal(tokens.begin(), tokens.end(), begin)) {
            start_behind(route_.make_task(data_));
        } else {
            repeated_ -= tokens.size();
        }
        return {};
    }

    /// Chunks that a choice speaks in as one event, then those of the usage.
    std::string written(json const& chunks)
    {
        auto said = json();
        auto rest = json::array();
        for (auto const& chunk : chunks) {
            if (!is_choice(chunk)) {
                rest.push_back(chunk);
            } else if (said.is_null()) {
                said = chunk;
            } else {
                add_chunk(said, chunk);
            }
        }
        auto text = std::string{};
        if (!said.is_null()) {
            forget_names(said, known_calls_);
            auto const tokens = tokens_->take();
            text += tokens.empty() ? "" : fmt::format("id: {}\n", fmt::join(tokens, ","));
            text += format_oai_sse(said);
        }
        return rest.empty() ? text : text + format_oai_sse(rest);
    }

    ChatRoute const& route_;
    json data_;
    llama_tokens said_;
    std::function<bool()> should_stop_;
    std::unique_ptr<server_response_reader> reader_;
    std::unique_ptr<SaidTokens> tokens_;
    std::size_t repeated_ = 0;  // tokens of `said_` that are still to come once more
    std::int32_t before_ = 0;  // tokens of the prompt that belong to the answer
    std::size_t known_calls_ = 0;
    bool is_full_ = false;  // nothing may be said any more; llama.cpp says one token at least
};

}  // namespace

ChatRoute::ChatRoute(server_context& context, common_params const& params, server_routes const& routes,
                     server_context_meta const& meta)
    : context_(context), params_(params), plain_(routes.post_chat_completions), meta_(meta),
      vocab_(llama_model_get_vocab(llama_get_model(context.get_llama_context())))
{
}

server_task ChatRoute::make_task(json const& data) const
{
    auto task = server_task(SERVER_TASK_TYPE_COMPLETION);
    task.params = server_schema::eval_llama_cmpl_schema(vocab_, params_, meta_.logit_bias_eog, data);
    task.params.res_type = TASK_RESPONSE_TYPE_OAI_CHAT;
    task.params.oaicompat_cmpl_id = gen_chatcmplid();
    task.params.oaicompat_model = meta_.model_name;
    task.tokens = server_tokens(common_tokenize(vocab_, data.at("prompt").get<std::string>(), true, true), false);
    auto marks = common_chat_msg_delimiters_parse(json_value(data, "message_delimiters", json::array()));
    marks.tokenize(vocab_);
    task.params.message_spans = task.tokens.find_message_spans(marks);
    return task;
}

Pieces ChatRoute::pieces_of(server_task const& task) const
{
    return Pieces(vocab_, params_, task.params);
}

server_response_reader ChatRoute::reader() const
{
    return context_.get_response_reader();
}

server_http_res_ptr ChatRoute::operator()(server_http_req const& request) const
{
    auto body = json::parse(request.body);
    auto const said = take_said(body, vocab_);
    auto files = std::vector<raw_buffer>{};
    auto const data = oaicompat_chat_params_parse(body, meta_.chat_params, files);
    if (said.empty() && (meta_.has_mtmd || json_value(data, "n", 1) != 1 || json_value(data, "n_cmpl", 1) != 1)) {
        return plain_(request);
    }
    auto response = std::make_unique<server_http_res>();
    auto const answer = std::make_shared<Answer>(*this, data, said, request.should_stop);
    auto const first = answer->begin();
    if (first == nullptr) {
        return response;
    }
    if (first->is_error()) {
        auto const error = first->to_json();
        response->status = json_value(error, "code", 500);
        response->data = json{{"error", error}}.dump();
        return response;
    }
    auto const begun = std::make_shared<std::string>(answer->events_of(*first));
    response->next = [answer, begun](std::string& events) {
        events = std::exchange(*begun, {});
        return !events.empty() || answer->next(events);
    };
    return response;
}

}  // namespace plexus::engine
