#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/chat_answer.h"
#include "api/chat_request.h"
#include "api/json_fields.h"
#include "api/mcp_message.h"
#include "api/mcp_tools.h"
#include "api/task_answer.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto list_lifetime_ms = 3'600'000;  // the tools change with the version only
constexpr auto instructions =
    "Plexus Mesh: language models on the user's own devices. Call `ask` for an answer, "
    "`models.list` to choose a model, `mesh.devices` to see the devices.";

std::string event(std::string const& message)
{
    return fmt::format("event: message\ndata: {}\n\n", message);
}

/// The answer to `ask`: progress while it grows, if the client wants that, then the result.
class AskDialect final : public Dialect {
public:
    AskDialect(McpRequest const& request, std::string model)
        : request_(request), model_(std::move(model)), token_(request.progress_token())
    {
    }

    void set_route(Route const& route) override { device_ = route.device; }

    std::string waiting(std::string_view reason) override
    {
        return token_ ? event(progress(reason)) : Dialect::waiting(reason);
    }

    Result<std::string> chunk(std::string chunk) override
    {
        if (auto const added = assembler_.add(chunk); !added) {
            return std::unexpected(added.error());
        }
        return std::string{};
    }

    std::string end() override { return event(mcp_result_text(request_, result())); }
    std::string failure(Problem const& problem) override
    {
        return event(mcp_result_text(request_, mcp_tool_error(problem.text)));
    }
    Response whole() override { return answer(result()); }
    Response refusal(Problem const& problem) override { return answer(mcp_tool_error(problem.text)); }

private:
    Response answer(json::object result) const
    {
        return {200, {{"content-type", "application/json"}}, mcp_result_text(request_, std::move(result))};
    }

    std::string progress(std::string_view text)
    {
        return mcp_notification_text("notifications/progress",
                                     {{"progressToken", *token_}, {"progress", ++steps_}, {"message", text}});
    }

    json::object result()
    {
        auto const whole = json::parse(assembler_.finish());
        auto const text = std::string(whole.at_pointer("/choices/0/message/content").as_string());
        auto const& reason = whole.at_pointer("/choices/0/finish_reason");
        return mcp_tool_result(text, {{"text", text},
                                      {"model", model_},
                                      {"device", device_},
                                      {"finish_reason", reason.is_string() ? reason : json::value("stop")}});
    }

    McpRequest const& request_;
    std::string model_;
    std::optional<json::value> token_;
    std::string device_;
    std::uint64_t steps_ = 0;
    AnswerAssembler assembler_;
};

class McpCall {
public:
    McpCall(RouteContext& context, McpRequest request) : context_(context), request_(std::move(request)) {}

    Task<int> run();

private:
    Task<int> answer(json::object result);
    Task<int> fail(int status, McpError error, std::string text);
    Task<int> initialize();
    Task<int> discover();
    Task<int> list_tools();
    Task<int> call_tool();
    Task<int> ask(json::object const& arguments);
    Task<int> listen();
    json::object server_info() const;

    RouteContext& context_;
    McpRequest request_;
};

Task<int> McpCall::answer(json::object result)
{
    co_return co_await answer_json(context_.exchange, 200, mcp_result_text(request_, std::move(result)));
}

Task<int> McpCall::fail(int status, McpError error, std::string text)
{
    auto const failure = McpFailure{.error = error, .text = std::move(text), .id = request_.id};
    co_return co_await answer_json(context_.exchange, request_.is_modern ? status : 200, mcp_failure_text(failure));
}

json::object McpCall::server_info() const
{
    return {{"name", "plexus-mesh"}, {"title", "Plexus Mesh"}, {"version", context_.services.control.status().version}};
}

Task<int> McpCall::initialize()
{
    auto const version = mcp_negotiated(text_of(request_.params, "protocolVersion"));
    co_return co_await answer({{"protocolVersion", version},
                               {"capabilities", json::object{{"tools", json::object{}}}},
                               {"serverInfo", server_info()},
                               {"instructions", instructions}});
}

Task<int> McpCall::discover()
{
    co_return co_await answer({{"supportedVersions", json::array{mcp_modern_version, mcp_newest_legacy_version}},
                               {"capabilities", json::object{{"tools", json::object{}}}},
                               {"_meta", json::object{{"io.modelcontextprotocol/serverInfo", server_info()}}},
                               {"instructions", instructions},
                               {"ttlMs", list_lifetime_ms},
                               {"cacheScope", "public"}});
}

Task<int> McpCall::list_tools()
{
    auto result = json::object{{"tools", mcp_tools()}};
    if (request_.is_modern) {
        result["ttlMs"] = list_lifetime_ms;
        result["cacheScope"] = "public";
    }
    co_return co_await answer(std::move(result));
}

Task<int> McpCall::call_tool()
{
    auto const* given = find(request_.params, "arguments");
    if (given != nullptr && !given->is_object()) {
        co_return co_await fail(400, McpError::invalid_params, "'arguments' must be an object.");
    }
    auto const arguments = given == nullptr ? json::object{} : given->get_object();
    auto const name = request_.name();
    if (name == "ask") {
        co_return co_await ask(arguments);
    }
    if (name != "models.list" && name != "mesh.devices") {
        co_return co_await fail(200, McpError::invalid_params, fmt::format("There is no tool '{}'.", name));
    }
    auto const& services = context_.services;
    auto data = name == "models.list" ? list_json("models", services.models.list())
                                      : list_json("devices", services.mesh.devices());
    auto text = json::serialize(data);
    co_return co_await answer(mcp_tool_result(std::move(text), std::move(data)));
}

Task<int> McpCall::ask(json::object const& arguments)
{
    auto question = read_mcp_question(arguments);
    if (!question) {
        co_return co_await answer(mcp_tool_error(question.error()));
    }
    if (question->model.empty()) {
        auto const models = context_.services.models.list();
        auto const* model = default_chat_model(models);
        if (model == nullptr) {
            co_return co_await answer(mcp_tool_error("No device has a chat model. `plexus model import` adds one."));
        }
        question->model = model->id;
    }
    question->body["model"] = question->model;
    auto chat = parse_chat_request(json::serialize(question->body));
    if (!chat) {
        co_return co_await answer(mcp_tool_error(chat.error().text));
    }
    auto dialect = AskDialect(request_, question->model);
    auto task = InferenceTask{.model = std::move(chat->model), .body = std::move(chat->task_body)};
    auto const takes_events = context_.request.header("accept").value_or("").contains("text/event-stream");
    co_return co_await answer_task(context_, std::move(task), dialect, takes_events);
}

/// Nothing here changes that a client could listen to, so the stream carries the acknowledgement and stays open.
Task<int> McpCall::listen()
{
    auto head = Response{200, {{"content-type", "text/event-stream"}, {"x-accel-buffering", "no"}}, ""};
    auto sent = co_await context_.exchange.start(with_common_headers(std::move(head)));
    auto const acknowledged = mcp_notification_text(
        "notifications/subscriptions/acknowledged",
        {{"_meta", json::object{{"io.modelcontextprotocol/subscriptionId", request_.id}}},
         {"notifications", json::object{}}});
    if (sent) {
        sent = co_await context_.exchange.write(event(acknowledged));
    }
    while (sent) {
        co_await sleep_for(context_.env, context_.options.keep_alive);
        sent = co_await context_.exchange.write(": keep-alive\n\n");
    }
    co_return 200;
}

Task<int> McpCall::run()
{
    auto const& method = request_.method;
    if (request_.is_notification) {
        std::ignore = co_await context_.exchange.respond(with_common_headers({202, {}, ""}));
        co_return 202;
    }
    if (method == "tools/list") {
        co_return co_await list_tools();
    }
    if (method == "tools/call") {
        co_return co_await call_tool();
    }
    if (request_.is_modern && method == "server/discover") {
        co_return co_await discover();
    }
    if (request_.is_modern && method == "subscriptions/listen") {
        co_return co_await listen();
    }
    if (!request_.is_modern && method == "initialize") {
        co_return co_await initialize();
    }
    if (!request_.is_modern && method == "ping") {
        co_return co_await answer({});
    }
    co_return co_await fail(404, McpError::method_not_found, fmt::format("There is no method '{}'.", method));
}

}  // namespace

Task<int> serve_mcp(RouteContext context)
{
    auto request = parse_mcp_request(context.request);
    if (!request) {
        co_return co_await answer_json(context.exchange, request.error().status, mcp_failure_text(request.error()));
    }
    auto call = McpCall(context, std::move(*request));
    co_return co_await call.run();
}

}  // namespace plexus::api
