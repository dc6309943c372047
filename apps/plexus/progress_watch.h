#pragma once

#include <optional>
#include <string>

#include <boost/json/value.hpp>

#include "context.h"

namespace plexus::cli {

/// Follows the JSON lines of long work: a bar with the time left on a terminal, else a line every tenth.
class ProgressWatch {
public:
    explicit ProgressWatch(Context& context) : context_(context) {}

    /// Takes a piece of the stream, which may end anywhere.
    void push(std::string_view piece);

    /// The field of the last line; a failure if it was an error or never came.
    Outcome<boost::json::value> result(std::string_view field) const;

private:
    void take(std::string_view line);
    void show(boost::json::value const& event);
    std::string bar(std::string const& stage, std::uint64_t done, std::uint64_t total);

    Context& context_;
    std::string buffer_;
    boost::json::value last_;
    std::optional<Failure> failure_;
    std::string stage_;
    std::uint64_t last_tenth_ = 0;
    std::uint64_t first_done_ = 0;
    Time began_{};
};

/// Asks for long work and follows it. `field`: of the last line.
Task<Outcome<boost::json::value>> follow_work(Context& context, std::string target, boost::json::value body,
                                              std::string field);

}  // namespace plexus::cli
