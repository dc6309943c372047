#pragma once

#include <boost/json/array.hpp>

#include "api/json_fields.h"

namespace plexus::api {

/// Adds the `images` of a message, or of a prompt, to the parts of its content. `place` names them in problems.
Check add_images(boost::json::object const& owner, std::string const& place, boost::json::array& parts);

/// Turns the messages into those of a chat body. Ollama's calls have no ids: results belong to the calls before them.
class OllamaMessages {
public:
    /// `place` names the message in problems.
    Check add(boost::json::value const& value, std::string const& place);

    boost::json::array messages;

private:
    struct OpenCall {
        std::string id;
        std::string name;
    };

    Check add_calls(boost::json::object const& fields, std::string const& place, boost::json::object& message);
    std::string call_of_result(boost::json::object const& fields);

    std::vector<OpenCall> open_calls_;
    std::size_t calls_ = 0;
};

}  // namespace plexus::api
