#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/group.h"

using namespace plexus;
using namespace plexus::sandbox;

namespace {

constexpr auto mounts =
    "24 30 0:21 / /proc rw - proc proc rw\n"
    "31 30 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

/// Runs `action` in a process of its own, which ends with its answer.
bool in_child(std::function<bool()> const& action)
{
    auto const child = ::fork();
    if (child == 0) {
        ::_exit(action() ? 0 : 1);
    }
    auto status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// A new group below the root of the real control groups; empty if this user may not make one.
std::filesystem::path new_group()
{
    for (auto const* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        auto const folder = std::filesystem::path(root) / fmt::format("plexus-test-{}", ::getpid());
        auto error = std::error_code{};
        if (std::filesystem::exists(std::filesystem::path(root) / "cgroup.procs") &&
            std::filesystem::create_directory(folder, error)) {
            return folder;
        }
    }
    return {};
}

bool join(std::filesystem::path const& group)
{
    return static_cast<bool>(std::ofstream(group / "cgroup.procs") << "0" << std::flush);
}

}  // namespace

TEST_CASE("sandbox group: the daemon's folder is found from what /proc says")
{
    CHECK(group_folder("0::/user.slice/plexus.service\n", mounts) == "/sys/fs/cgroup/user.slice/plexus.service");
    CHECK(group_folder("4:memory:/x\n0::/\n", mounts) == "/sys/fs/cgroup/");
    CHECK(group_folder("4:memory:/x\n", mounts).empty());
    CHECK(group_folder("0::/a\n", "24 30 0:21 / /proc rw - proc proc rw\n").empty());
    auto const of_container = "31 30 0:27 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    CHECK(group_folder("0::/pod/plexus\n", of_container) == "/sys/fs/cgroup/plexus");
}

TEST_CASE("sandbox group: lines that are cut anywhere are no mount, and harm nothing")
{
    auto const whole = std::string_view(mounts);
    for (auto cut = std::size_t{0}; cut < whole.size(); ++cut) {
        std::ignore = group_folder("0::/a\n", whole.substr(0, cut));
    }
}

TEST_CASE("sandbox group: a group that others are in too is left alone")
{
    auto const folder = new_group();
    if (folder.empty()) {
        MESSAGE("not seen: this user may not make control groups");
        return;
    }
    auto const taken = in_child(
        [&] { return join(folder) && in_child([&] { return EngineGroups::take(folder, {}).has_value(); }); });

    CHECK_FALSE(taken);
    CHECK(std::filesystem::remove(folder));
}

TEST_CASE("sandbox group: an engine's group takes it in, kills it, and leaves nothing behind")
{
    auto const folder = new_group();
    if (folder.empty()) {
        MESSAGE("not seen: this user may not make control groups");
        return;
    }
    auto const went_well = in_child([&] {
        if (!join(folder)) {
            return false;
        }
        auto groups = EngineGroups::take(folder, {});
        auto engine = pid_t{0};
        {
            auto const group = groups.value().make({}).value();
            engine = ::fork();
            if (engine == 0) {
                std::ignore = ::write(group.members(), "0", 1);
                ::pause();
            }
            auto members = std::string{};
            while (members != std::to_string(engine)) {
                std::ifstream(group.folder() / "cgroup.procs") >> members;
            }
            std::ofstream(group.folder() / "cgroup.kill") << "1" << std::flush;
            auto status = 0;
            ::waitpid(engine, &status, 0);
            if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
                return false;
            }
        }
        return !std::filesystem::exists(folder / "engine-1");
    });

    CHECK(went_well);
    CHECK(std::filesystem::remove(folder / "daemon"));
    CHECK(std::filesystem::remove(folder));
}

TEST_CASE("sandbox group: a limit is set and kept, and more memory than that is not given")
{
    auto const folder = new_group();
    auto controllers = std::string{};
    std::getline(std::ifstream(folder.parent_path() / "cgroup.controllers"), controllers);
    if (folder.empty() || !controllers.contains("memory") || !controllers.contains("pids")) {
        MESSAGE("not seen: the controllers for memory and pids are not there for this user");
        std::filesystem::remove(folder);
        return;
    }
    std::ofstream(folder.parent_path() / "cgroup.subtree_control") << "+memory +pids +cpu" << std::flush;
    constexpr auto limit = std::size_t{32} << 20;
    auto const went_well = in_child([&] {
        if (!join(folder)) {
            return false;
        }
        auto groups = EngineGroups::take(folder, {"memory", "pids"});
        auto const group = groups.value().make({.memory_bytes = limit, .processes = 8, .weight = 50}).value();
        auto const greedy = ::fork();
        if (greedy == 0) {
            std::ignore = ::write(group.members(), "0", 1);
            auto memory = std::vector<char>(2 * limit, 'x');
            ::_exit(memory[limit] == 'x' ? 0 : 1);
        }
        auto status = 0;
        ::waitpid(greedy, &status, 0);
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    });

    CHECK(went_well);
    std::filesystem::remove(folder / "daemon");
    CHECK(std::filesystem::remove(folder));
}
