#include "api/mcp_tools.h"

#include <boost/json/parse.hpp>

#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr auto tools_text = std::string_view(R"([
{"name":"ask","title":"Ask a local model",
 "description":"Asks a language model that runs on the user's own devices. Nothing leaves them. Without a model the best one at hand answers.",
 "inputSchema":{"type":"object","required":["prompt"],"additionalProperties":false,"properties":{
  "prompt":{"type":"string","description":"The question or task."},
  "system":{"type":"string","description":"Instructions that stand before the question."},
  "model":{"type":"string","description":"A name from models.list."},
  "max_tokens":{"type":"integer","minimum":1,"description":"The longest answer, in tokens."},
  "temperature":{"type":"number","minimum":0,"maximum":2}}},
 "outputSchema":{"type":"object","required":["text","model","finish_reason"],"properties":{
  "text":{"type":"string"},"model":{"type":"string"},"device":{"type":"string"},"finish_reason":{"type":"string"}}},
 "annotations":{"readOnlyHint":true,"openWorldHint":false}},
{"name":"mesh.devices","title":"The user's devices",
 "description":"Lists the devices of the user's private mesh: names, whether they are there, their memory and models.",
 "inputSchema":{"type":"object","additionalProperties":false},
 "outputSchema":{"type":"object","required":["devices"],"properties":{"devices":{"type":"array","items":{"type":"object"}}}},
 "annotations":{"readOnlyHint":true,"openWorldHint":false}},
{"name":"models.list","title":"Local models",
 "description":"Lists the language models that the user's devices hold: names, sizes, context lengths, where they are.",
 "inputSchema":{"type":"object","additionalProperties":false},
 "outputSchema":{"type":"object","required":["models"],"properties":{"models":{"type":"array","items":{"type":"object"}}}},
 "annotations":{"readOnlyHint":true,"openWorldHint":false}}
])");

constexpr auto question_texts = std::array<std::string_view, 3>{"prompt", "system", "model"};
constexpr auto question_numbers = std::array{NumberRule{"max_tokens", 1, unlimited, true},
                                             NumberRule{"temperature", 0, 2, false}};

json::object message(std::string_view role, std::string_view content)
{
    return {{"role", role}, {"content", content}};
}

}  // namespace

json::array mcp_tools()
{
    return json::parse(tools_text).get_array();
}

std::expected<McpQuestion, std::string> read_mcp_question(json::object const& arguments)
{
    auto problem = check_texts(arguments, question_texts);
    problem = problem ? problem : check_numbers(arguments, question_numbers);
    if (problem) {
        return std::unexpected(problem->text);
    }
    if (text_of(arguments, "prompt").empty()) {
        return std::unexpected("'prompt' is missing.");
    }
    auto messages = json::array{};
    if (auto const system = text_of(arguments, "system"); !system.empty()) {
        messages.emplace_back(message("system", system));
    }
    messages.emplace_back(message("user", text_of(arguments, "prompt")));
    auto question = McpQuestion{std::string(text_of(arguments, "model")), {{"messages", std::move(messages)}}};
    for (auto const& rule : question_numbers) {
        if (auto const* value = arguments.if_contains(rule.name)) {
            question.body[rule.name] = *value;
        }
    }
    return question;
}

ModelView const* default_chat_model(std::vector<ModelView> const& models)
{
    auto const rank = [](ModelView const& model) { return std::pair(!model.loaded_on.empty(), model.is_local); };
    auto const* best = static_cast<ModelView const*>(nullptr);
    for (auto const& model : models) {
        if (model.is_chat && (best == nullptr || rank(model) > rank(*best))) {
            best = &model;
        }
    }
    return best;
}

json::object mcp_tool_result(std::string text, json::object data)
{
    auto content = json::array{json::object{{"type", "text"}, {"text", std::move(text)}}};
    return {{"content", std::move(content)}, {"structuredContent", std::move(data)}, {"isError", false}};
}

json::object mcp_tool_error(std::string text)
{
    auto content = json::array{json::object{{"type", "text"}, {"text", std::move(text)}}};
    return {{"content", std::move(content)}, {"isError", true}};
}

}  // namespace plexus::api
