#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/paths.h"

/// How other programs are told of this device: which file, which words in it.
namespace plexus::cli {

struct ConnectedModel {
    std::string id;
    std::uint64_t context_length = 0;
};

/// What every program must know.
struct Connection {
    std::string url;  ///< "http://127.0.0.1:7597", without a path
    std::filesystem::path token_file;
    std::string token;
    std::string model;                   ///< the one to begin with
    std::vector<ConnectedModel> models;  ///< chat models, `model` among them
};

/// The change for one program.
struct ToolPlan {
    enum class Way {
        own_file,      ///< a file that is all ours
        json_member,   ///< a member of a JSON object of the program
        json_element,  ///< an element, known by its name, of a JSON array of the program
    };
    Way way = Way::own_file;
    std::filesystem::path file{};
    std::string snippet{};                ///< the whole file, or the JSON value
    std::vector<std::string> path{};      ///< of json_member
    std::vector<std::string> then{};      ///< what to do after it, commands or sentences
};

struct Tool {
    std::string_view name;   ///< as typed: "codex"
    std::string_view title;  ///< "Codex CLI"
};

/// In the order in which help lists them.
std::vector<Tool> const& connectable_tools();

/// `name` is one of connectable_tools(). Errors: `not_found` if there is no home folder.
Result<ToolPlan> plan_connection(std::string_view name, Connection const& connection, Paths const& paths,
                                 Environment const& environment);

}  // namespace plexus::cli
