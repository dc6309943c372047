#include <CLI/CLI.hpp>
#include <charconv>
#include <fmt/format.h>

#include "base/log.h"
#include "plexus-sim/workers.h"

namespace {

using namespace plexus;

struct Arguments {
    std::string seeds = "1..100";
    std::uint64_t seed = 0;
    bool trace = false;
    std::size_t devices = 5;
    unsigned seconds = 20;
    std::size_t check_hashes = 0;
    unsigned jobs = 1;
};

double in_seconds(Duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> range_from(std::string const& text)
{
    auto first = std::uint64_t{0};
    auto last = std::uint64_t{0};
    auto const* end = text.data() + text.size();
    auto const begun = std::from_chars(text.data(), end, first);
    if (begun.ec != std::errc{} || !std::string_view(begun.ptr, end).starts_with("..")) {
        return std::nullopt;
    }
    auto const done = std::from_chars(begun.ptr + 2, end, last);
    if (done.ec != std::errc{} || done.ptr != end || last < first) {
        return std::nullopt;
    }
    return std::pair(first, last);
}

simulation::RunOptions options_for(Arguments const& arguments, std::uint64_t seed)
{
    return {.seed = seed, .devices = arguments.devices, .trouble = std::chrono::seconds(arguments.seconds), .line = {}};
}

std::string command_for(Arguments const& arguments, std::uint64_t seed)
{
    return fmt::format("plexus-sim --seed {} --devices {} --seconds {} --trace", seed, arguments.devices, arguments.seconds);
}

int run_one(Arguments const& arguments)
{
    log::set_level(arguments.trace ? log::Level::debug : log::Level::off);
    auto options = options_for(arguments, arguments.seed);
    options.line = [](Duration at, std::string_view line) { fmt::print("{:9.4f} {}\n", in_seconds(at), line); };
    auto const result = simulation::run_seed(options);
    for (auto const& finding : result.findings) {
        fmt::print("at {:.3f} s: {}: {}\n", in_seconds(finding.at), finding.invariant, finding.detail);
    }
    fmt::print("seed {}: {:.1f} simulated s, {} events, trace hash {:016x}, {} checks\n", arguments.seed,
               in_seconds(result.simulated), result.events, result.trace_hash, result.checks);
    fmt::print("{} faults, {} attacks; {} tasks: {} answered, {} failed with a typed error\n", result.faults,
               result.attacks, result.asked, result.answered, result.failed);
    return result.findings.empty() ? 0 : 1;
}

void print(Arguments const& arguments, sim_app::Report const& report)
{
    fmt::print("seed {} FAILED: {}\n    again: {}\n", report.seed, report.failure, command_for(arguments, report.seed));
    std::fflush(stdout);
}

int run_range(Arguments const& arguments, std::uint64_t first, std::uint64_t last)
{
    log::set_level(log::Level::off);
    auto const begin = std::chrono::steady_clock::now();
    auto const totals = sim_app::run_seeds(
        {.first = first, .last = last, .jobs = arguments.jobs, .check_hashes = arguments.check_hashes},
        [&](std::uint64_t seed) { return options_for(arguments, seed); },
        [&](sim_app::Report const& report) { print(arguments, report); });
    auto const wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{} seeds ({}..{}), {} devices, {} jobs: {} failures\n", totals.seeds, first, last, arguments.devices,
               arguments.jobs, totals.failures);
    fmt::print("{} faults, {} attacks; {} tasks: {} answered whole, {} failed with a typed error; {} checks\n",
               totals.faults, totals.attacks, totals.asked, totals.answered, totals.failed, totals.checks);
    fmt::print("trace hashes: {} runs repeated, {} differ\n", totals.repeated, totals.different);
    auto const each = totals.busy_seconds > 0 ? totals.simulated_seconds / totals.busy_seconds : 0.0;
    fmt::print("{:.0f} simulated s in {:.1f} s: {:.0f} simulated s a wall second ({:.0f} a job), largest process {} MiB\n",
               totals.simulated_seconds, wall, totals.simulated_seconds / wall, each, totals.largest_mib);
    fmt::print("{} passed, {} failed\n", totals.seeds - totals.failures, totals.failures);
    return totals.failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    auto arguments = Arguments{};
    auto app = CLI::App("Runs simulated meshes: real devices on one virtual clock, troubled and attacked by the seed.");
    app.add_option("--seeds", arguments.seeds, "the seeds to run, first..last")->capture_default_str();
    app.add_option("--seed", arguments.seed, "run this seed alone and say more");
    app.add_flag("--trace", arguments.trace, "with --seed: print every line of the devices' logs");
    app.add_option("--devices", arguments.devices, "honest devices; a hostile member and a stranger come on top")
        ->check(CLI::Range(3, 50))
        ->capture_default_str();
    app.add_option("--seconds", arguments.seconds, "simulated seconds of trouble in each run")->capture_default_str();
    app.add_option("--check-hashes", arguments.check_hashes, "run so many seeds twice and compare the trace hashes")
        ->capture_default_str();
    app.add_option("--jobs", arguments.jobs, "processes side by side")->check(CLI::Range(1, 64))->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    if (app.count("--seed") > 0) {
        return run_one(arguments);
    }
    auto const range = range_from(arguments.seeds);
    if (!range) {
        fmt::print(stderr, "--seeds takes first..last, like 1..2000\n");
        return 2;
    }
    return run_range(arguments, range->first, range->second);
}
