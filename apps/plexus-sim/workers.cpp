#include "plexus-sim/workers.h"

#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/result.h"

namespace plexus::sim_app {

namespace {

constexpr unsigned seed_limit_seconds = 120;  // of wall time; an endless loop ends here
constexpr std::size_t failure_bytes = 400;

/// What a worker tells of one run; fits a pipe's atomic write.
struct Line {
    std::uint64_t seed = 0;
    bool ended = false;  ///< false: the run begins
    std::uint64_t findings = 0;
    bool repeated = false;
    bool different = false;
    std::uint64_t checks = 0, faults = 0, attacks = 0, asked = 0, answered = 0, failed = 0;
    double simulated = 0;
    double took = 0;
    char failure[failure_bytes] = {};
};
static_assert(sizeof(Line) <= 512 + failure_bytes);

void tell(int pipe, Line const& line)
{
    if (::write(pipe, &line, sizeof line) != static_cast<ssize_t>(sizeof line)) {
        std::_Exit(1);
    }
}

Line run(std::uint64_t seed, simulation::RunOptions const& options, bool repeat)
{
    auto const begin = std::chrono::steady_clock::now();
    auto const result = simulation::run_seed(options);
    auto line = Line{.seed = seed, .ended = true, .findings = result.findings.size(), .repeated = repeat};
    line.checks = result.checks;
    line.faults = result.faults;
    line.attacks = result.attacks;
    line.asked = result.asked;
    line.answered = result.answered;
    line.failed = result.failed;
    line.simulated = std::chrono::duration<double>(result.simulated).count();
    auto text = std::string{};
    for (auto const& finding : result.findings) {
        text += (text.empty() ? "" : "; ") + finding.invariant + ": " + finding.detail;
    }
    if (repeat) {
        line.different = simulation::run_seed(options).trace_hash != result.trace_hash;
        line.simulated *= 2;
        text += line.different ? "two runs of the seed differ" : "";
    }
    text.copy(line.failure, failure_bytes - 1);
    line.took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return line;
}

/// One child process, which runs each `jobs`-th seed from its first.
struct Worker {
    pid_t process = 0;
    int pipe = -1;
    std::uint64_t next = 0;     ///< the first seed that it has not begun
    std::uint64_t current = 0;  ///< the seed under way; 0 if none
};

class Workers {
public:
    Workers(Range const& range, std::function<simulation::RunOptions(std::uint64_t)> const& options,
            std::function<void(Report const&)> const& failed)
        : range_(range), options_(options), failed_(failed)
    {
    }

    Totals all()
    {
        for (unsigned job = 0; job < range_.jobs; ++job) {
            workers_.push_back({.next = range_.first + job});
            start(workers_.back());
        }
        while (std::ranges::any_of(workers_, [](Worker const& worker) { return worker.pipe >= 0; })) {
            wait();
        }
        auto usage = rusage{};
        ::getrusage(RUSAGE_CHILDREN, &usage);
        totals_.largest_mib = static_cast<std::uint64_t>(usage.ru_maxrss) / 1024;
        return totals_;
    }

private:
    bool is_repeated(std::uint64_t seed) const
    {
        auto const count = range_.last - range_.first + 1;
        auto const each = range_.check_hashes == 0 ? 0 : std::max<std::uint64_t>(1, count / range_.check_hashes);
        return each != 0 && (seed - range_.first) % each == 0;
    }

    void start(Worker& worker)
    {
        if (worker.next > range_.last) {
            return;
        }
        int ends[2] = {};
        std::fflush(nullptr);
        if (::pipe(ends) != 0 || (worker.process = ::fork()) < 0) {
            std::perror("plexus-sim");
            std::_Exit(2);
        }
        if (worker.process == 0) {
            ::close(ends[0]);
            work(ends[1], worker.next);
            std::_Exit(0);
        }
        ::close(ends[1]);
        worker.pipe = ends[0];
    }

    void work(int pipe, std::uint64_t seed)
    {
        for (; seed <= range_.last; seed += range_.jobs) {
            tell(pipe, {.seed = seed});
            ::alarm(seed_limit_seconds);
            tell(pipe, run(seed, options_(seed), is_repeated(seed)));
        }
    }

    void wait()
    {
        auto polled = std::vector<pollfd>{};
        for (auto const& worker : workers_) {
            polled.push_back({.fd = worker.pipe, .events = POLLIN, .revents = 0});
        }
        ::poll(polled.data(), polled.size(), -1);
        for (std::size_t index = 0; index < workers_.size(); ++index) {
            if (polled[index].revents != 0) {
                hear(workers_[index]);
            }
        }
    }

    void hear(Worker& worker)
    {
        auto line = Line{};
        if (::read(worker.pipe, &line, sizeof line) == static_cast<ssize_t>(sizeof line)) {
            line.ended ? count(worker, line) : begin(worker, line.seed);
            return;
        }
        ::close(std::exchange(worker.pipe, -1));
        auto status = 0;
        ::waitpid(worker.process, &status, 0);
        if (worker.current != 0) {
            auto const signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            auto const why = signal == SIGALRM ? fmt::format("no end after {} s", seed_limit_seconds)
                                               : fmt::format("the program ended with {}", signal != 0 ? ::strsignal(signal) : "an error");
            ++totals_.seeds;
            fail(worker.current, why);
            worker.current = 0;
            start(worker);
        }
    }

    void begin(Worker& worker, std::uint64_t seed)
    {
        worker.current = seed;
        worker.next = seed + range_.jobs;
    }

    void count(Worker& worker, Line const& line)
    {
        worker.current = 0;
        ++totals_.seeds;
        totals_.repeated += line.repeated ? 1 : 0;
        totals_.different += line.different ? 1 : 0;
        totals_.checks += line.checks;
        totals_.faults += line.faults;
        totals_.attacks += line.attacks;
        totals_.asked += line.asked;
        totals_.answered += line.answered;
        totals_.failed += line.failed;
        totals_.simulated_seconds += line.simulated;
        totals_.busy_seconds += line.took;
        if (line.findings > 0 || line.different) {
            fail(line.seed, line.failure);
        }
    }

    void fail(std::uint64_t seed, std::string why)
    {
        ++totals_.failures;
        failed_({seed, std::move(why)});
    }

    Range const& range_;
    std::function<simulation::RunOptions(std::uint64_t)> const& options_;
    std::function<void(Report const&)> const& failed_;
    std::vector<Worker> workers_;
    Totals totals_;
};

}  // namespace

Totals run_seeds(Range const& range, std::function<simulation::RunOptions(std::uint64_t)> options,
                 std::function<void(Report const&)> failed)
{
    return Workers(range, options, failed).all();
}

}  // namespace plexus::sim_app
