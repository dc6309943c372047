#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "terminal.h"

namespace plexus::cli {

/// Lines from a person, with editing and a history (libedit), or plain lines if standard input is no terminal.
class LineEditor {
public:
    LineEditor(Terminal const& terminal, std::filesystem::path history_file);
    ~LineEditor();

    /// Nothing at the end of input. A line that Ctrl-C broke off is empty. Blocks.
    std::optional<std::string> read_line(std::string const& prompt);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::cli
