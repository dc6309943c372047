#include "models/source.h"

#include <charconv>

#include "base/nearest.h"
#include "models/manifest.h"
#include "models/suggestions.h"

namespace plexus::models {

namespace {

bool is_hub_letter(char letter)
{
    return std::isalnum(static_cast<unsigned char>(letter)) != 0 || std::string_view("._-").contains(letter);
}

/// "org/repo/folder/file.gguf": at least three parts of harmless letters, none of dots alone.
bool is_hub_path(std::string_view path)
{
    auto parts = std::size_t{0};
    for (auto rest = path;; ++parts) {
        auto const end = std::min(rest.find('/'), rest.size());
        auto const part = rest.substr(0, end);
        if (part.empty() || part.front() == '.' || !std::ranges::all_of(part, is_hub_letter)) {
            return false;
        }
        if (end == rest.size()) {
            return parts >= 2;
        }
        rest.remove_prefix(end + 1);
    }
}

Result<Url> hub_url(std::string_view text, Url const& hub)
{
    auto const at = std::min(text.find('@'), text.size());
    auto const path = text.substr(0, at);
    auto revision = std::string(text.substr(std::min(at + 1, text.size())));
    auto const is_revision = at == text.size() || (!revision.empty() && std::ranges::all_of(revision, [](char letter) {
                                 return is_hub_letter(letter) || letter == '/';
                             }));
    if (!is_hub_path(path) || !is_revision) {
        return fail(ErrorKind::malformed, "hf: is followed by org/repo/file.gguf, and @revision if need be");
    }
    for (auto slash = revision.find('/'); slash != std::string::npos; slash = revision.find('/')) {
        revision.replace(slash, 1, "%2F");
    }
    auto const repository_end = path.find('/', path.find('/') + 1);
    return hub.resolve(fmt::format("{}/{}/resolve/{}/{}", hub.target == "/" ? "" : hub.target,
                                   path.substr(0, repository_end), revision.empty() ? "main" : revision,
                                   path.substr(repository_end + 1)));
}

Result<std::size_t> number_from(std::string_view digits)
{
    auto number = std::size_t{0};
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size()) {
        return fail(ErrorKind::malformed, "no number");
    }
    return number;
}

std::vector<Url> with_all_shards(Url const& url)
{
    auto const shard = ShardName::parse(url.file_name());
    if (!shard) {
        return {url};
    }
    auto const name = url.file_name();
    auto const start = static_cast<std::size_t>(name.data() - url.target.data());
    auto urls = std::vector<Url>{};
    for (std::size_t number = 1; number <= shard->count; ++number) {
        urls.push_back(url);
        urls.back().target.replace(start, name.size(), shard->file(number));
    }
    return urls;
}

std::string name_of(Url const& url)
{
    auto const shard = ShardName::parse(url.file_name());
    return name_from_file(shard ? shard->base + ".gguf" : std::string(url.file_name()));
}

Result<Source> source_from(Result<Url> url, std::string origin)
{
    if (!url) {
        return std::unexpected(url.error());
    }
    auto const is_private = is_private_host(*url);
    if (!url->is_secure && !is_private) {
        return fail(ErrorKind::malformed,
                    "models are fetched by https; http is for addresses of this device or its network");
    }
    return Source{
        .files = with_all_shards(*url), .name = name_of(*url), .origin = std::move(origin), .is_private = is_private};
}

std::unexpected<Error> unknown_name(std::string_view name)
{
    auto names = std::vector<std::string>{};
    for (auto const& each : suggestions()) {
        names.emplace_back(each.name);
    }
    auto const meant = nearest(std::string(name), names);
    return fail(ErrorKind::not_found, "the list has no model {}{}", name,
                meant.empty() ? std::string() : fmt::format("; did you mean {}?", meant));
}

}  // namespace

std::optional<ShardName> ShardName::parse(std::string_view file)
{
    constexpr auto tail = std::string_view("-00001-of-00001.gguf");
    if (file.size() <= tail.size() || !file.ends_with(".gguf")) {
        return std::nullopt;
    }
    auto const end = file.substr(file.size() - tail.size());
    auto const number = number_from(end.substr(1, 5));
    auto const count = number_from(end.substr(10, 5));
    if (end.front() != '-' || end.substr(6, 4) != "-of-" || !number || !count || *number < 1 || *number > *count ||
        *count > max_shards) {
        return std::nullopt;
    }
    return ShardName{std::string(file.substr(0, file.size() - tail.size())), *number, *count};
}

std::string ShardName::file(std::size_t number_of_shard) const
{
    return fmt::format("{}-{:05}-of-{:05}.gguf", base, number_of_shard, count);
}

bool is_private_host(Url const& url)
{
    auto const address = url.address();
    return url.host == "localhost" || (address && !is_public(*address));
}

Result<Source> find_source(std::string_view text, Url const& hub)
{
    constexpr auto hub_scheme = std::string_view("hf:");
    if (text.contains("://")) {
        return source_from(Url::parse(text), std::string(text.substr(0, text.find_first_of("?#"))));
    }
    if (text.starts_with(hub_scheme)) {
        return source_from(hub_url(text.substr(hub_scheme.size()), hub), std::string(text));
    }
    auto const* suggestion = find_suggestion(text);
    if (suggestion == nullptr) {
        return unknown_name(text.substr(0, max_name_bytes));
    }
    auto source = find_source(suggestion->source, hub);
    if (source) {
        source->name = suggestion->name;
    }
    return source;
}

}  // namespace plexus::models
