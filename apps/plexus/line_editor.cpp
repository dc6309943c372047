#include "line_editor.h"

#include <cerrno>
#include <histedit.h>
#include <iostream>
#include <sys/stat.h>

namespace plexus::cli {

namespace {

constexpr int history_size = 500;

}  // namespace

struct LineEditor::State {
    explicit State(std::filesystem::path file) : history_file(std::move(file))
    {
        editor = ::el_init("plexus", stdin, stdout, stderr);
        history = ::history_init();
        auto event = HistEvent{};
        ::history(history, &event, H_SETSIZE, history_size);
        ::history(history, &event, H_SETUNIQUE, 1);
        ::history(history, &event, H_LOAD, history_file.c_str());
        ::el_set(editor, EL_CLIENTDATA, this);
        ::el_set(editor, EL_PROMPT, +[](EditLine* line) {
            State* self = nullptr;
            ::el_get(line, EL_CLIENTDATA, &self);
            return self->prompt.data();
        });
        ::el_set(editor, EL_EDITOR, "emacs");
        ::el_set(editor, EL_HIST, ::history, history);
    }

    ~State()
    {
        auto event = HistEvent{};
        auto const before = ::umask(0077);
        ::history(history, &event, H_SAVE, history_file.c_str());
        ::umask(before);
        ::history_end(history);
        ::el_end(editor);
    }

    std::filesystem::path history_file;
    std::string prompt;
    EditLine* editor = nullptr;
    History* history = nullptr;
};

LineEditor::LineEditor(Terminal const& terminal, std::filesystem::path history_file)
{
    if (terminal.input_is_terminal()) {
        state_ = std::make_unique<State>(std::move(history_file));
    }
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::read_line(std::string const& prompt)
{
    if (!state_) {
        auto line = std::string{};
        return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
    }
    state_->prompt = prompt;
    auto count = 0;
    errno = 0;
    auto const* text = ::el_gets(state_->editor, &count);
    if (text == nullptr || count <= 0) {
        if (errno != EINTR) {
            return std::nullopt;
        }
        ::el_reset(state_->editor);
        std::cout << std::endl;
        return std::string{};
    }
    auto line = std::string(text, static_cast<std::size_t>(count));
    while (line.ends_with('\n') || line.ends_with('\r')) {
        line.pop_back();
    }
    if (!line.empty()) {
        auto event = HistEvent{};
        ::history(state_->history, &event, H_ENTER, line.c_str());
    }
    return line;
}

}  // namespace plexus::cli
