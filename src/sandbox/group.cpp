#include "sandbox/group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace plexus::sandbox {

namespace {

constexpr std::size_t most_bytes = 1 << 20;
constexpr auto folder_mode = 0700;

std::string read_text(std::filesystem::path const& path)
{
    auto const file = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    auto text = std::string{};
    auto part = std::array<char, 4096>{};
    for (auto count = ssize_t{1}; count > 0 && text.size() < most_bytes;) {
        count = ::read(file.get(), part.data(), part.size());
        text.append(part.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    return text;
}

bool write_text(std::filesystem::path const& path, std::string_view text)
{
    auto const file = Descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return file.get() >= 0 && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string_view next_word(std::string_view& text, char end)
{
    auto const place = std::min(text.find(end), text.size());
    auto const word = text.substr(0, place);
    text.remove_prefix(std::min(place + 1, text.size()));
    return word;
}

std::vector<std::string> words_of(std::string_view text)
{
    auto words = std::vector<std::string>{};
    while (!text.empty()) {
        auto const line = next_word(text, '\n');
        for (auto rest = line; !rest.empty();) {
            if (auto const word = next_word(rest, ' '); !word.empty()) {
                words.emplace_back(word);
            }
        }
    }
    return words;
}

/// Where control group v2 is mounted, and which group is the root of that mount.
std::pair<std::string, std::string> find_mount(std::string_view mounts)
{
    while (!mounts.empty()) {
        // "36 35 98:0 /root /place options - type source options"
        auto const words = words_of(next_word(mounts, '\n'));
        auto const dash = std::ranges::find(words, "-");
        if (words.size() > 5 && dash != words.end() && dash + 1 != words.end() && *(dash + 1) == "cgroup2") {
            return {words[3], words[4]};
        }
    }
    return {};
}

std::unexpected<Error> no_groups(std::string_view reason)
{
    return fail(ErrorKind::unavailable, "engines get no control groups: {}", reason);
}

/// A limit is what the file says afterwards.
bool limit(std::filesystem::path const& file, std::string const& value)
{
    return write_text(file, value) && words_of(read_text(file)) == std::vector{value};
}

}  // namespace

std::filesystem::path group_folder(std::string_view own_groups, std::string_view mounts)
{
    auto const [root, place] = find_mount(mounts);
    while (!place.empty() && !own_groups.empty()) {
        auto line = next_word(own_groups, '\n');
        if (line.starts_with("0::/")) {
            line.remove_prefix(3);
            if (root != "/" && line.starts_with(root)) {
                line.remove_prefix(root.size());
            }
            return std::filesystem::path(place) / line.substr(std::min(line.find_first_not_of('/'), line.size()));
        }
    }
    return {};
}

EngineGroup::EngineGroup(std::filesystem::path folder, Descriptor members)
    : folder_(std::move(folder)), members_(std::move(members))
{
}

EngineGroup::~EngineGroup()
{
    if (members_.get() >= 0) {
        write_text(folder_ / "cgroup.kill", "1");
        ::rmdir(folder_.c_str());
    }
}

Result<EngineGroups> EngineGroups::take()
{
    auto const folder = group_folder(read_text("/proc/self/cgroup"), read_text("/proc/self/mountinfo"));
    if (folder.empty()) {
        return no_groups("this system has no control group v2");
    }
    return take(folder, {"memory", "pids"});
}

Result<EngineGroups> EngineGroups::take(std::filesystem::path folder, std::vector<std::string> const& controllers)
{
    auto const there = words_of(read_text(folder / "cgroup.controllers"));
    auto enabled = std::string{};
    for (auto const& each : controllers) {
        if (std::ranges::find(there, each) == there.end()) {
            return no_groups(fmt::format("{} has no controller for {}", folder.string(), each));
        }
        enabled += fmt::format("{}+{}", enabled.empty() ? "" : " ", each);
    }
    if (words_of(read_text(folder / "cgroup.procs")) != std::vector{std::to_string(::getpid())}) {
        return no_groups(fmt::format("{} is not the daemon's alone", folder.string()));
    }
    auto const own = folder / "daemon";
    if ((::mkdir(own.c_str(), folder_mode) != 0 && errno != EEXIST) || !write_text(own / "cgroup.procs", "0")) {
        return no_groups(fmt::format("{}: {}", folder.string(), std::strerror(errno)));
    }
    if (!enabled.empty() && !write_text(folder / "cgroup.subtree_control", enabled)) {
        auto const reason = errno;
        write_text(folder / "cgroup.procs", "0");
        ::rmdir(own.c_str());
        return no_groups(fmt::format("{}: {}", folder.string(), std::strerror(reason)));
    }
    write_text(folder / "cgroup.subtree_control", "+cpu");  // where it is there
    return EngineGroups(std::move(folder));
}

Result<EngineGroup> EngineGroups::make(GroupLimits const& limits)
{
    auto folder = folder_ / fmt::format("engine-{}", ++made_);
    if (::mkdir(folder.c_str(), folder_mode) != 0 && errno != EEXIST) {
        return fail(ErrorKind::io, "cannot make {}: {}", folder.string(), std::strerror(errno));
    }
    auto members = Descriptor(::open((folder / "cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    auto const is_open = members.get() >= 0;
    auto group = EngineGroup(folder, std::move(members));
    constexpr auto page = std::uint64_t{4096};
    auto const memory = std::to_string(limits.memory_bytes / page * page);
    if (!is_open || (limits.memory_bytes != 0 && !limit(folder / "memory.max", memory)) ||
        (limits.processes != 0 && !limit(folder / "pids.max", std::to_string(limits.processes)))) {
        return fail(ErrorKind::io, "{} does not keep its limits: {}", folder.string(), std::strerror(errno));
    }
    write_text(folder / "memory.swap.max", "0");  // not there without swap
    write_text(folder / "cpu.weight", std::to_string(limits.weight));
    return group;
}

}  // namespace plexus::sandbox
