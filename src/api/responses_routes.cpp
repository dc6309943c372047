#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/base64.h"
#include "api/chat_answer.h"
#include "api/document_dialect.h"
#include "api/responses_answer.h"
#include "api/responses_request.h"
#include "api/task_answer.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto request_prefix = std::string_view("req_");

/// The random part of the request's id, of which the ids of the response and its items are made.
std::string id_suffix(RouteContext const& context)
{
    return context.exchange.request_id().substr(request_prefix.size());
}

/// The response before it begins.
json::object new_response(ResponsesRequest const& request, std::string id, std::int64_t created)
{
    auto response = json::object{{"id", std::move(id)},
                                 {"object", "response"},
                                 {"created_at", created},
                                 {"completed_at", nullptr},
                                 {"status", "in_progress"},
                                 {"background", false},
                                 {"error", nullptr},
                                 {"incomplete_details", nullptr},
                                 {"instructions", nullptr},
                                 {"max_output_tokens", nullptr},
                                 {"max_tool_calls", nullptr},
                                 {"metadata", json::object{}},
                                 {"model", request.model},
                                 {"output", json::array{}},
                                 {"parallel_tool_calls", true},
                                 {"previous_response_id", nullptr},
                                 {"prompt_cache_key", nullptr},
                                 {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                                 {"safety_identifier", nullptr},
                                 {"service_tier", "default"},
                                 {"store", request.store},
                                 {"temperature", 1.0},
                                 {"text", {{"format", {{"type", "text"}}}}},
                                 {"tool_choice", "auto"},
                                 {"tools", json::array{}},
                                 {"top_logprobs", 0},
                                 {"top_p", 1.0},
                                 {"presence_penalty", 0.0},
                                 {"frequency_penalty", 0.0},
                                 {"truncation", "disabled"},
                                 {"usage", nullptr},
                                 {"user", nullptr}};
    for (auto const& field : request.shown) {
        response[field.key()] = field.value();
    }
    return response;
}

std::vector<Header> warning_of(ResponsesRequest const& request)
{
    if (request.left_out.empty()) {
        return {};
    }
    return {{"plexus-warning", fmt::format("left out, because it is not here: {}", fmt::join(request.left_out, ", "))}};
}

/// OpenAI's responses.
class ResponsesDialect final : public Dialect {
public:
    ResponsesDialect(RouteContext& context, ResponsesRequest request, json::array before)
        : context_(context), request_(std::move(request)), before_(std::move(before)),
          id_("resp_" + id_suffix(context)),
          writer_(new_response(request_, id_, unix_seconds(context.env)), id_suffix(context))
    {
    }

    std::vector<Header> headers() const override { return warning_of(request_); }
    std::string begin() override { return writer_.begin(); }
    Result<std::string> chunk(std::string chunk) override { return writer_.add(chunk); }

    std::string end() override
    {
        auto events = writer_.end(unix_seconds(context_.env));
        keep();
        return events;
    }

    std::string failure(Problem const& problem) override
    {
        auto events = writer_.fail_with(problem);
        keep();
        return events;
    }

    Response whole() override
    {
        std::ignore = end();
        return {200, {{"content-type", "application/json"}}, json::serialize(writer_.response())};
    }

private:
    void keep()
    {
        if (!request_.store) {
            return;
        }
        auto entry = ResponseStore::Entry{writer_.response(), std::move(request_.items), std::move(before_)};
        for (std::size_t index = 0; index < entry.input.size(); ++index) {
            auto& item = entry.input[index].get_object();
            if (!item.contains("id")) {
                item["id"] = fmt::format("in_{}_{}", id_suffix(context_), index);
            }
        }
        context_.responses.put(id_, entry, context_.env.now());
    }

    RouteContext& context_;
    ResponsesRequest request_;
    json::array before_;
    std::string id_;
    ResponseWriter writer_;
};

/// A request with all that it refers to.
struct Conversation {
    ResponsesRequest request;
    json::array before;
    ChatRequest chat;
};

/// The items of the conversation that `id` ended.
std::expected<json::array, Problem> items_before(RouteContext& context, std::string const& id)
{
    if (id.empty()) {
        return json::array{};
    }
    auto entry = context.responses.find(id, context.env.now());
    if (!entry) {
        return std::unexpected(invalid_request("previous_response_id",
                                               fmt::format("There is no response '{}' here (any more).", id),
                                               "previous_response_not_found"));
    }
    auto items = std::move(entry->before);
    auto const& output = entry->response.at("output").as_array();
    items.insert(items.end(), entry->input.begin(), entry->input.end());
    items.insert(items.end(), output.begin(), output.end());
    return items;
}

Check resolve_references(RouteContext& context, json::array& items)
{
    for (auto& item : items) {
        auto& fields = item.get_object();
        if (text_of(fields, "type") != "item_reference") {
            continue;
        }
        auto found = context.responses.find_item(text_of(fields, "id"), context.env.now());
        if (!found) {
            return invalid_request("input",
                                   fmt::format("There is no item '{}' here (any more).", text_of(fields, "id")));
        }
        fields = std::move(*found);
    }
    return std::nullopt;
}

std::expected<Conversation, Problem> conversation_of(RouteContext& context)
{
    auto request = parse_responses_request(context.request.body);
    if (!request) {
        return std::unexpected(std::move(request.error()));
    }
    auto before = items_before(context, request->previous_id);
    if (!before) {
        return std::unexpected(std::move(before.error()));
    }
    if (auto problem = resolve_references(context, request->items)) {
        return std::unexpected(std::move(*problem));
    }
    auto chat = chat_request_from(*request, *before);
    if (!chat) {
        return std::unexpected(std::move(chat.error()));
    }
    return Conversation{std::move(*request), std::move(*before), std::move(*chat)};
}

/// How many tokens an input has.
class CountDialect final : public DocumentDialect {
public:
    Response whole() override
    {
        auto code = boost::system::error_code{};
        auto const document = json::parse(take_document(), code);
        auto const tokens = !code && document.is_object() ? whole_number_of(document.get_object(), "tokens")
                                                          : std::nullopt;
        if (!tokens) {
            return openai_error(problem_from({ErrorKind::refused, "the engine sent no count"}));
        }
        auto const body = json::object{{"object", "response.input_tokens"}, {"input_tokens", *tokens}};
        return {200, {{"content-type", "application/json"}}, json::serialize(body)};
    }
};

/// A conversation in short: what the user said, and a summary that clients hand back unread.
class CompactDialect final : public Dialect {
public:
    CompactDialect(std::string suffix, std::int64_t created, json::array const& items)
        : suffix_(std::move(suffix)), created_(created)
    {
        for (auto const& item : items) {
            if (text_of(item.get_object(), "role") == "user") {
                kept_.emplace_back(item);
            }
        }
    }

    Result<std::string> chunk(std::string chunk) override { return writer_.add(chunk); }
    std::string end() override { return {}; }
    std::string failure(Problem const& problem) override { return openai_error_text(problem); }

    Response whole() override
    {
        std::ignore = writer_.end(created_);
        auto const& response = writer_.response();
        auto output = std::move(kept_);
        output.emplace_back(json::object{{"id", fmt::format("cmp_{}_{}", suffix_, output.size())},
                                         {"type", "compaction"},
                                         {"encrypted_content", to_base64(as_view(text_in(response)))}});
        auto body = json::object{{"id", "resp_" + suffix_},
                                 {"object", "response.compaction"},
                                 {"created_at", created_},
                                 {"output", std::move(output)},
                                 {"usage", response.at("usage")}};
        return {200, {{"content-type", "application/json"}}, json::serialize(body)};
    }

private:
    static std::string text_in(json::object const& response)
    {
        auto text = std::string{};
        for (auto const& item : response.at("output").as_array()) {
            if (text_of(item.get_object(), "type") == "message") {
                text += text_of(item.at("content").as_array().at(0).get_object(), "text");
            }
        }
        return text;
    }

    std::string suffix_;
    std::int64_t created_;
    json::array kept_;
    ResponseWriter writer_{json::object{{"usage", nullptr}}, "compact"};
};

constexpr auto wish_for_summary = std::string_view(
    R"({"type":"message","role":"user","content":"Sum up our conversation so far for someone who goes on from here: aims, decisions, facts, names, what is done and what is open. Only the summary."})");

}  // namespace

Task<int> create_response(RouteContext context)
{
    auto conversation = conversation_of(context);
    if (!conversation) {
        co_return co_await answer_openai_problem(context.exchange, std::move(conversation.error()));
    }
    auto& [request, before, chat] = *conversation;
    auto const stream = request.stream;
    auto dialect = ResponsesDialect(context, std::move(request), std::move(before));
    auto task = InferenceTask{.model = std::move(chat.model), .body = std::move(chat.task_body)};
    co_return co_await answer_task(context, std::move(task), dialect, stream);
}

Task<int> count_input_tokens(RouteContext context)
{
    auto conversation = conversation_of(context);
    if (!conversation) {
        co_return co_await answer_openai_problem(context.exchange, std::move(conversation.error()));
    }
    auto dialect = CountDialect();
    auto task = InferenceTask{.model = std::move(conversation->chat.model),
                              .body = std::move(conversation->chat.task_body),
                              .kind = TaskKind::tokenize};
    co_return co_await answer_task(context, std::move(task), dialect, false);
}

Task<int> compact_response(RouteContext context)
{
    auto conversation = conversation_of(context);
    if (!conversation) {
        co_return co_await answer_openai_problem(context.exchange, std::move(conversation.error()));
    }
    auto& [request, before, chat] = *conversation;
    auto said = before;
    said.insert(said.end(), request.items.begin(), request.items.end());
    request.items.emplace_back(json::parse(wish_for_summary));
    auto wish = chat_request_from(request, before);
    if (!wish) {
        co_return co_await answer_openai_problem(context.exchange, std::move(wish.error()));
    }
    auto dialect = CompactDialect(id_suffix(context), unix_seconds(context.env), said);
    auto task = InferenceTask{.model = std::move(wish->model), .body = std::move(wish->task_body)};
    co_return co_await answer_task(context, std::move(task), dialect, false);
}

}  // namespace plexus::api
