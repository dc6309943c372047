#include "terminal.h"

#include <cstdio>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::cli {

namespace {

std::string_view variable(char const* name)
{
    auto const* value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

bool wants_color(Options const& options, bool output_is_terminal)
{
    if (options.no_color || options.color == "never") {
        return false;
    }
    if (options.color == "always") {
        return true;
    }
    if (!variable("NO_COLOR").empty()) {
        return false;
    }
    auto const forced = variable("FORCE_COLOR");
    if (!forced.empty() && forced != "0") {
        return true;
    }
    return output_is_terminal && variable("TERM") != "dumb" && !options.json;
}

bool locale_is_unicode()
{
    for (auto const* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        if (auto const value = variable(name); !value.empty()) {
            return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos;
        }
    }
    return false;
}

int positive_or(std::string_view text, int otherwise)
{
    auto const value = std::atoi(std::string(text).c_str());
    return value > 0 ? value : otherwise;
}

std::size_t seen_width(std::string_view text)
{
    std::size_t width = 0;
    auto in_escape = false;
    for (auto const byte : text) {
        if (byte == '\x1b') {
            in_escape = true;
        } else if (in_escape) {
            in_escape = byte != 'm';
        } else if ((static_cast<unsigned char>(byte) & 0xC0) != 0x80) {
            ++width;
        }
    }
    return width;
}

void write_to(std::FILE* file, std::string_view text)
{
    std::fwrite(text.data(), 1, text.size(), file);
    std::fflush(file);
}

}  // namespace

Terminal::Terminal(Options const& options)
    : json_(options.json), quiet_(options.quiet), output_is_terminal_(::isatty(STDOUT_FILENO) == 1),
      talk_is_terminal_(::isatty(STDERR_FILENO) == 1), input_is_terminal_(::isatty(STDIN_FILENO) == 1)
{
    color_ = wants_color(options, output_is_terminal_);
    auto const is_dumb = variable("TERM") == "dumb";
    shows_progress_ = talk_is_terminal_ && !is_dumb;
    unicode_ = locale_is_unicode() && !is_dumb;
    auto size = winsize{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        columns_ = size.ws_col;
        rows_ = size.ws_row;
    }
    columns_ = positive_or(variable("COLUMNS"), columns_);
    rows_ = positive_or(variable("LINES"), rows_);
}

void Terminal::write(std::string_view text)
{
    clear_progress();
    write_to(stdout, text);
}

void Terminal::line(std::string_view text)
{
    write(fmt::format("{}\n", text));
}

void Terminal::say(std::string_view text)
{
    if (quiet_ || json_) {
        return;
    }
    clear_progress();
    write_to(stderr, fmt::format("{}\n", text));
}

void Terminal::prompt(std::string_view text)
{
    clear_progress();
    write_to(stderr, text);
}

void Terminal::progress(std::string_view text)
{
    if (quiet_ || json_ || !shows_progress_) {
        return;
    }
    write_to(stderr, fmt::format("\r\x1b[K{}", text.substr(0, static_cast<std::size_t>(columns_ - 1))));
    has_progress_ = true;
}

void Terminal::clear_progress()
{
    if (std::exchange(has_progress_, false)) {
        write_to(stderr, "\r\x1b[K");
    }
}

void Terminal::report(Failure const& failure)
{
    clear_progress();
    if (json_) {
        auto data = boost::json::object{{"code", failure.code},
                                        {"exit", static_cast<int>(failure.exit)},
                                        {"what", failure.what},
                                        {"why", failure.why},
                                        {"next", failure.next}};
        auto const document = boost::json::object{{"schema", "plexus.error/1"}, {"data", std::move(data)}};
        write_to(stderr, boost::json::serialize(document) + "\n");
        return;
    }
    auto text = fmt::format("error: {}\n", failure.what);
    if (!failure.why.empty()) {
        text += fmt::format("  why: {}\n", failure.why);
    }
    if (!failure.next.empty()) {
        text += fmt::format(" next: {}\n", failure.next);
    }
    write_to(stderr, text);
}

std::string Terminal::styled(Tone tone, std::string_view text) const
{
    if (!color_ || tone == Tone::plain) {
        return std::string(text);
    }
    auto const* code = "1";
    switch (tone) {
    case Tone::plain:
    case Tone::strong: code = "1"; break;
    case Tone::dim: code = "2"; break;
    case Tone::good: code = "32"; break;
    case Tone::warn: code = "33"; break;
    case Tone::bad: code = "31"; break;
    }
    return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

void Terminal::table(std::vector<std::vector<std::string>> const& rows)
{
    auto widths = std::vector<std::size_t>{};
    for (auto const& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t column = 0; column < row.size(); ++column) {
            widths[column] = std::max(widths[column], seen_width(row[column]));
        }
    }
    for (auto const& row : rows) {
        auto text = std::string{};
        for (std::size_t column = 0; column < row.size(); ++column) {
            text += row[column];
            if (column + 1 < row.size()) {
                text.append(widths[column] - seen_width(row[column]) + 2, ' ');
            }
        }
        line(text);
    }
}

std::string Terminal::safe(std::string_view text) const
{
    if (!output_is_terminal_) {
        return std::string(text);
    }
    auto kept = std::string{};
    for (std::size_t index = 0; index < text.size(); ++index) {
        auto const code = static_cast<unsigned char>(text[index]);
        auto const after = index + 1 < text.size() ? static_cast<unsigned char>(text[index + 1]) : 0;
        if (code == 0xc2 && after >= 0x80 && after < 0xa0) {
            ++index;  // a C1 control: many terminals take U+009B for an escape
        } else if ((code >= 0x20 && code != 0x7f) || code == '\n' || code == '\t') {
            kept += text[index];
        }
    }
    return kept;
}

std::string size_text(std::uint64_t bytes)
{
    constexpr auto thousand = 1000.0;
    auto const units = std::array{"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= thousand && unit + 1 < units.size()) {
        value /= thousand;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string duration_text(std::int64_t seconds)
{
    if (seconds < 3600) {
        return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
    }
    return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
}

}  // namespace plexus::cli
