#pragma once

#include <set>

#include <boost/json/array.hpp>

#include "api/json_fields.h"

namespace plexus::api {

/// Turns the messages and tools of Anthropic's API into those of a chat body. Problems name the place of the block.
class AnthropicMessages {
public:
    /// A text or blocks of text; may be called between messages too.
    Check add_system(boost::json::value const& system);
    Check add_message(boost::json::value const& message, std::string const& place);
    Check add_tools(boost::json::object const& body);

    boost::json::array messages;
    boost::json::array tools;
    std::set<std::string> left_out;  ///< types of tools and blocks that only Anthropic's own servers have

private:
    Check add_part(boost::json::object const& block, std::string const& place, boost::json::array& parts);
    Check add_image(boost::json::object const& block, std::string const& place, boost::json::array& parts);
    Check add_document(boost::json::object const& block, std::string const& place, boost::json::array& parts);
    Check add_search_result(boost::json::object const& block, std::string const& place, boost::json::array& parts);
    Check add_parts(boost::json::value const& content, std::string const& place, boost::json::array& parts);
    Check add_user(boost::json::array const& blocks, std::string const& place);
    Check add_result(boost::json::object const& block, std::string const& place);
    Check add_assistant(boost::json::array const& blocks, std::string const& place);
    Check add_assistant_block(boost::json::object const& block, std::string const& place, boost::json::object& message);
    void add(boost::json::object message, boost::json::array parts);

    boost::json::array parts_of_last_;  // of the last message, while more of the same role may join it
};

}  // namespace plexus::api
