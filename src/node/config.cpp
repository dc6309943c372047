#include "node/config.h"

#include <charconv>

#include "base/nearest.h"
#include "base/text.h"
#include "base/url.h"

// A header such as "[[{" trips an assertion where an error is made right behind it.
#define TOML_ASSERT(condition) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace plexus::node {

namespace {

using Setter = Result<void> (*)(Config&, std::string const&);

template <typename Number>
Result<Number> number_of(std::string const& text, Number least, Number most)
{
    auto value = std::int64_t{};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < static_cast<std::int64_t>(least) ||
        value > static_cast<std::int64_t>(most)) {
        return fail(ErrorKind::malformed, "must be a whole number from {} to {}, not '{}'", least, most, text);
    }
    return static_cast<Number>(value);
}

template <typename Number>
Result<void> set_number(Number& target, std::string const& text, Number least, Number most)
{
    auto const value = number_of<Number>(text, least, most);
    if (!value) {
        return std::unexpected(value.error());
    }
    target = *value;
    return {};
}

/// A number that may be left open, which is zero.
Result<void> set_open_number(std::uint32_t& target, std::string const& text, std::uint32_t least, std::uint32_t most)
{
    if (text == "auto" || text == "0") {
        target = 0;
        return {};
    }
    auto const set = set_number(target, text, least, most);
    return set ? set : fail(ErrorKind::malformed, "{}, or auto", set.error().text);
}

Result<void> set_mesh_port(Config& config, std::string const& text)
{
    config.mesh.port_is_set = true;
    return set_number<std::uint16_t>(config.mesh.port, text, 0, 65535);
}

Result<void> set_mesh_address(Config& config, std::string const& text)
{
    auto code = boost::system::error_code{};
    boost::asio::ip::make_address(text, code);
    if (code) {
        return fail(ErrorKind::malformed, "must be an internet address, not '{}'", text);
    }
    config.mesh.address = text;
    return {};
}

Result<void> set_mesh_name(Config& config, std::string const& text)
{
    constexpr std::size_t most = 64;
    if (text.empty() || text.size() > most || !is_printable_utf8(text)) {
        return fail(ErrorKind::malformed, "must be 1 to {} bytes of UTF-8 without control characters", most);
    }
    config.mesh.name = text;
    return {};
}

Result<void> set_origins(Config& config, std::string const& text)
{
    config.api.origins.clear();
    for (auto rest = std::string_view(text); !rest.empty();) {
        auto const comma = rest.find(',');
        config.api.origins.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
    for (auto const& origin : config.api.origins) {
        if (!origin.starts_with("http://") && !origin.starts_with("https://")) {
            return fail(ErrorKind::malformed, "must hold origins such as https://app.example, not '{}'", origin);
        }
    }
    return {};
}

Result<void> set_ollama(Config& config, std::string const& text)
{
    using enum Config::Door;
    for (auto const& [name, door] : {std::pair{"off", off}, std::pair{"auto", automatic}, std::pair{"on", on}}) {
        if (text == name) {
            config.api.ollama = door;
            return {};
        }
    }
    return fail(ErrorKind::malformed, "must be off, auto or on, not '{}'", text);
}

Result<void> set_flag(bool& target, std::string const& text)
{
    if (text != "true" && text != "false") {
        return fail(ErrorKind::malformed, "must be true or false, not '{}'", text);
    }
    target = text == "true";
    return {};
}

Result<void> set_gpu(Config& config, std::string const& text)
{
    constexpr std::size_t most = 128;
    if (text.empty() || text.size() > most || !is_printable_utf8(text)) {
        return fail(ErrorKind::malformed, "must be auto, none, or a device's name of at most {} bytes", most);
    }
    config.engine.gpu = text;
    return {};
}

Result<void> set_gpu_layers(Config& config, std::string const& text)
{
    config.engine.gpu_layers.reset();
    if (text == "all") {
        return {};
    }
    return set_number<std::uint32_t>(config.engine.gpu_layers.emplace(), text, 0, 1 << 16);
}

Result<void> set_hub(Config& config, std::string const& text)
{
    auto const url = Url::parse(text);
    if (!url || url->target.contains('?')) {
        return fail(ErrorKind::malformed, "must be an address such as https://hub.example, not '{}'", text);
    }
    config.models.hub = text;
    return {};
}

Result<void> set_log_level(Config& config, std::string const& text)
{
    auto const levels = std::array{std::pair{"debug", log::Level::debug}, std::pair{"info", log::Level::info},
                                   std::pair{"warning", log::Level::warning}, std::pair{"error", log::Level::error},
                                   std::pair{"off", log::Level::off}};
    for (auto const& [name, level] : levels) {
        if (text == name) {
            config.log_level = level;
            return {};
        }
    }
    return fail(ErrorKind::malformed, "must be debug, info, warning, error or off, not '{}'", text);
}

struct Key {
    char const* name;
    Setter set;
};

constexpr auto keys = std::array{
    Key{"api.port", [](Config& config,
                       std::string const& text) { return set_number<std::uint16_t>(config.api.port, text, 0, 65535); }},
    Key{"api.origins", set_origins},
    Key{"api.ollama", set_ollama},
    Key{"api.ollama_port",
        [](Config& config, std::string const& text) {
            return set_number<std::uint16_t>(config.api.ollama_port, text, 0, 65535);
        }},
    Key{"api.ollama_token",
        [](Config& config, std::string const& text) { return set_flag(config.api.ollama_token, text); }},
    Key{"mesh.name", set_mesh_name},
    Key{"mesh.address", set_mesh_address},
    Key{"mesh.port", set_mesh_port},
    Key{"mesh.discovery",
        [](Config& config, std::string const& text) { return set_flag(config.mesh.discovery, text); }},
    Key{"engine.program",
        [](Config& config, std::string const& text) -> Result<void> {
            config.engine.program = text;
            return {};
        }},
    Key{"engine.context",
        [](Config& config, std::string const& text) {
            return set_open_number(config.engine.context, text, 256, 1 << 20);
        }},
    Key{"engine.slots",
        [](Config& config, std::string const& text) { return set_open_number(config.engine.slots, text, 1, 64); }},
    Key{"engine.threads",
        [](Config& config, std::string const& text) {
            return set_number<std::uint32_t>(config.engine.threads, text, 0, 1024);
        }},
    Key{"engine.idle_minutes",
        [](Config& config, std::string const& text) {
            return set_number<std::uint32_t>(config.engine.idle_minutes, text, 1, 1 << 20);
        }},
    Key{"engine.gpu", set_gpu},
    Key{"engine.gpu_layers", set_gpu_layers},
    Key{"engine.allow_weak_sandbox",
        [](Config& config, std::string const& text) { return set_flag(config.engine.allow_weak_sandbox, text); }},
    Key{"engine.memory_mb",
        [](Config& config, std::string const& text) {
            return set_number<std::uint64_t>(config.engine.memory_mb, text, 0, 1ULL << 40);
        }},
    Key{"models.quota_gb",
        [](Config& config, std::string const& text) {
            return set_number<std::uint64_t>(config.models.quota_gb, text, 0, 1'000'000);
        }},
    Key{"models.hub", set_hub},
    Key{"models.ca_file",
        [](Config& config, std::string const& text) -> Result<void> {
            config.models.ca_file = text;
            return {};
        }},
    Key{"engine.prompt_cache",
        [](Config& config, std::string const& text) { return set_flag(config.engine.prompt_cache, text); }},
    Key{"engine.speculation",
        [](Config& config, std::string const& text) { return set_flag(config.engine.speculation, text); }},
    Key{"log.level", set_log_level},
};

std::vector<std::string> key_names()
{
    auto names = std::vector<std::string>{};
    for (auto const& key : keys) {
        names.emplace_back(key.name);
    }
    return names;
}

std::string variable_of(std::string name)
{
    for (auto& letter : name) {
        letter = letter == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    }
    return "PLEXUS_" + name;
}

/// The value as the text that a person would give in the environment.
std::optional<std::string> text_of(toml::node const& node)
{
    if (auto const text = node.value_exact<std::string>()) {
        return *text;
    }
    if (auto const number = node.value_exact<std::int64_t>()) {
        return std::to_string(*number);
    }
    if (auto const flag = node.value_exact<bool>()) {
        return *flag ? "true" : "false";
    }
    auto const* list = node.as_array();
    if (list == nullptr) {
        return std::nullopt;
    }
    auto joined = std::string{};
    for (auto const& each : *list) {
        auto const text = each.value_exact<std::string>();
        if (!text) {
            return std::nullopt;
        }
        joined += (joined.empty() ? "" : ",") + *text;
    }
    return joined;
}

/// The parser does not stand every letter outside of quotes and comments: it may see others than ASCII only when a mark
/// that is allowed nowhere else has been accepted in their places.
toml::parse_result parse_text(std::string_view text)
{
    auto marked = std::string(text);
    std::ranges::replace_if(marked, [](char letter) { return static_cast<unsigned char>(letter) >= 0x80; }, '!');
    auto first = toml::parse(marked);
    return marked == text || !first ? std::move(first) : toml::parse(text);
}

Result<void> read_table(Config& config, toml::table const& table, std::string const& prefix, std::string const& file)
{
    for (auto const& [name, node] : table) {
        auto const key = prefix + std::string(name.str());
        if (auto const* inner = node.as_table(); inner != nullptr && prefix.empty()) {
            if (auto read = read_table(config, *inner, key + ".", file); !read) {
                return read;
            }
            continue;
        }
        auto const line = node.source().begin.line;
        auto const text = text_of(node);
        if (!text) {
            return fail(ErrorKind::malformed, "{} line {}: {} has a value of the wrong kind", file, line, key);
        }
        if (auto const set = set_key(config, key, *text); !set) {
            return fail(ErrorKind::malformed, "{} line {}: {}", file, line, set.error().text);
        }
    }
    return {};
}

}  // namespace

Result<void> set_key(Config& config, std::string const& key, std::string const& value)
{
    for (auto const& each : keys) {
        if (each.name != key) {
            continue;
        }
        auto const set = each.set(config, value);
        return set ? set : fail(ErrorKind::malformed, "{} {}", key, set.error().text);
    }
    auto const meant = nearest(key, key_names());
    auto const hint = meant.empty() ? std::string() : fmt::format("; did you mean {}?", meant);
    return fail(ErrorKind::not_found, "there is no setting {}{}", key, hint);
}

Result<Config> read_config(std::string_view text, std::string const& file, Environment const& environment)
{
    auto config = Config{};
    auto const parsed = parse_text(text);
    if (!parsed) {
        auto const& error = parsed.error();
        return fail(ErrorKind::malformed, "{} line {}: {}", file, error.source().begin.line, error.description());
    }
    if (auto const read = read_table(config, parsed.table(), "", file); !read) {
        return std::unexpected(read.error());
    }
    for (auto const& key : keys) {
        auto const variable = variable_of(key.name);
        auto const value = environment(variable);
        if (!value) {
            continue;
        }
        if (auto const set = set_key(config, key.name, *value); !set) {
            return fail(ErrorKind::malformed, "{}: {}", variable, set.error().text);
        }
    }
    return config;
}

}  // namespace plexus::node
