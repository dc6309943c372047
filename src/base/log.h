#pragma once

#include <fmt/format.h>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace plexus::log {

enum class Level { debug, info, warning, error, off };

/// A named value beside the sentence. Never a key, prompt or document.
struct Field {
    template <typename T>
    Field(std::string_view field_name, T const& field_value) : name(field_name), value(fmt::format("{}", field_value))
    {
    }

    std::string_view name;
    std::string value;
};

using Fields = std::initializer_list<Field>;

/// A fixed sentence with fields. *Info* is rare and not in a stranger's power.
void debug(std::string_view sentence, Fields fields = {});
void info(std::string_view sentence, Fields fields = {});
void warning(std::string_view sentence, Fields fields = {});
void error(std::string_view sentence, Fields fields = {});

/// What is below `level` is dropped. Default: warning.
void set_level(Level level);

/// Where lines go; default is standard error, through spdlog. An empty function restores the default.
void set_sink(std::function<void(Level, std::string_view line)> sink);

}  // namespace plexus::log
