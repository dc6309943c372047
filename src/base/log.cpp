#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace plexus::log {

namespace {

Level threshold = Level::warning;
std::function<void(Level, std::string_view)> custom_sink;

spdlog::logger& default_logger()
{
    static auto const logger = [] {
        auto made = spdlog::stderr_color_mt("plexus");
        made->set_level(spdlog::level::debug);
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
        return made;
    }();
    return *logger;
}

spdlog::level::level_enum to_spdlog(Level level)
{
    switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    default: return spdlog::level::err;
    }
}

void write(Level level, std::string_view sentence, Fields fields)
{
    if (level < threshold) {
        return;
    }
    auto line = std::string(sentence);
    for (auto const& field : fields) {
        line += fmt::format(" {}=\"{}\"", field.name, field.value);
    }
    if (custom_sink) {
        custom_sink(level, line);
    } else {
        default_logger().log(to_spdlog(level), "{}", line);
    }
}

}  // namespace

void debug(std::string_view sentence, Fields fields) { write(Level::debug, sentence, fields); }
void info(std::string_view sentence, Fields fields) { write(Level::info, sentence, fields); }
void warning(std::string_view sentence, Fields fields) { write(Level::warning, sentence, fields); }
void error(std::string_view sentence, Fields fields) { write(Level::error, sentence, fields); }

void set_level(Level level) { threshold = level; }

void set_sink(std::function<void(Level, std::string_view)> sink) { custom_sink = std::move(sink); }

}  // namespace plexus::log
