#pragma once

#include <expected>

#include <boost/json/array.hpp>

#include "api/services.h"

/// The tools that this device offers to MCP clients.
namespace plexus::api {

/// As tools/list gives them, always in the same order.
boost::json::array mcp_tools();

/// A question for `ask`, as a chat body.
struct McpQuestion {
    std::string model;  ///< empty: the client leaves the choice to us
    boost::json::object body;
};

/// The arguments of `ask`. The error is a sentence for the model that called it.
std::expected<McpQuestion, std::string> read_mcp_question(boost::json::object const& arguments);

/// The model for a question that names none: a chat model, in memory before not, here before elsewhere; null if there is
/// none.
ModelView const* default_chat_model(std::vector<ModelView> const& models);

/// The result of a tools/call with a text for the model, and the same as data.
boost::json::object mcp_tool_result(std::string text, boost::json::object data);
boost::json::object mcp_tool_error(std::string text);

}  // namespace plexus::api
