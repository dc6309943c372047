#pragma once

#include <string>
#include <vector>

#include "outcome.h"

namespace plexus::cli {

/// The global flags.
struct Options {
    bool json = false;
    bool quiet = false;
    bool no_color = false;
    std::string color = "auto";
    std::string socket;
    double timeout_seconds = 0;  ///< 0: the command's own
};

enum class Tone { plain, strong, dim, good, warn, bad };

/// Standard output for results, standard error for talk and progress.
class Terminal {
public:
    explicit Terminal(Options const& options);

    bool output_is_terminal() const { return output_is_terminal_; }
    bool talk_is_terminal() const { return talk_is_terminal_; }
    bool input_is_terminal() const { return input_is_terminal_; }
    bool shows_progress() const { return shows_progress_; }
    bool speaks_unicode() const { return unicode_; }
    int columns() const { return columns_; }
    int rows() const { return rows_; }

    /// A piece of the result, written at once.
    void write(std::string_view text);
    void line(std::string_view text);
    /// Talk; nothing with --quiet or --json.
    void say(std::string_view text);
    /// A question that waits for an answer on its line.
    void prompt(std::string_view text);
    /// Talk that the next one replaces; on a terminal only.
    void progress(std::string_view text);
    void clear_progress();
    void report(Failure const& failure);

    /// The text in that tone if standard output takes colours.
    std::string styled(Tone tone, std::string_view text) const;

    /// Columns aligned by what is seen, the last one not filled.
    void table(std::vector<std::vector<std::string>> const& rows);

    /// Text of others without control characters, for a terminal.
    std::string safe(std::string_view text) const;

private:
    bool json_;
    bool quiet_;
    bool color_ = false;
    bool unicode_ = false;
    bool shows_progress_ = false;
    bool output_is_terminal_;
    bool talk_is_terminal_;
    bool input_is_terminal_;
    bool has_progress_ = false;
    int columns_ = 80;
    int rows_ = 24;
};

/// "98.4 MB", "4.1 GB".
std::string size_text(std::uint64_t bytes);
/// "4:59", "1 h 02 min".
std::string duration_text(std::int64_t seconds);

}  // namespace plexus::cli
