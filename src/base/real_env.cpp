#include "base/real_env.h"

#include <csignal>
#include <sys/random.h>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/real_disk.h"
#include "base/real_network.h"

namespace plexus {

namespace {

class SystemRandom final : public Random {
public:
    void fill(MutableByteView target) override
    {
        std::size_t done = 0;
        while (done < target.size()) {
            auto const count = ::getrandom(target.data() + done, target.size() - done, 0);
            PLEXUS_ASSERT(count > 0 || errno == EINTR);
            done += count > 0 ? static_cast<std::size_t>(count) : 0;
        }
    }
};

using SystemTimer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                               Executor>;

}  // namespace

struct RealEnv::State {
    explicit State(unsigned worker_count) : network(context), system_timer(context), workers(worker_count) {}

    asio::io_context context{1};
    RealDisk disk;
    RealNetwork network;
    Processes* processes = nullptr;
    HttpClient* http = nullptr;
    SystemRandom random;
    SystemTimer system_timer;
    Time armed_for = Time::max();
    std::map<std::pair<Time, TimerId>, std::move_only_function<void()>> timers;
    std::map<TimerId, Time> timer_times;
    TimerId last_timer = 0;
    unsigned workers;
    std::optional<asio::thread_pool> pool;
    std::unique_ptr<asio::basic_signal_set<Executor>> signals;
    std::move_only_function<void()> on_termination;

    Time now() const { return Time(std::chrono::steady_clock::now().time_since_epoch()); }
    void arm();
    void fire();
    void wait_for_signal();
};

void RealEnv::State::arm()
{
    auto const next = timers.empty() ? Time::max() : timers.begin()->first.first;
    if (next == Time::max()) {
        armed_for = next;
        system_timer.cancel();
        return;
    }
    // It may wake early once: to set it anew for each timer that is later costs more.
    if (armed_for <= next) {
        return;
    }
    armed_for = next;
    system_timer.expires_at(std::chrono::steady_clock::time_point(next.time_since_epoch()));
    system_timer.async_wait([this](boost::system::error_code error) {
        if (!error) {
            fire();
        }
    });
}

void RealEnv::State::fire()
{
    armed_for = Time::max();
    auto const moment = now();
    while (!timers.empty() && timers.begin()->first.first <= moment) {
        auto node = timers.extract(timers.begin());
        timer_times.erase(node.key().second);
        node.mapped()();
    }
    arm();
}

void RealEnv::State::wait_for_signal()
{
    signals->async_wait([this](boost::system::error_code error, int) {
        if (!error) {
            on_termination();
            wait_for_signal();
        }
    });
}

RealEnv::RealEnv(unsigned workers) : state_(std::make_unique<State>(std::max(workers, 1U))) {}

RealEnv::~RealEnv()
{
    if (state_->pool) {
        state_->pool->join();
    }
}

void RealEnv::run()
{
    state_->context.restart();
    state_->context.run();
}

void RealEnv::stop()
{
    state_->context.stop();
}

void RealEnv::on_termination(std::move_only_function<void()> action)
{
    state_->on_termination = std::move(action);
    state_->signals = std::make_unique<asio::basic_signal_set<Executor>>(state_->context, SIGINT, SIGTERM);
    state_->wait_for_signal();
}

void RealEnv::use_processes(Processes& processes)
{
    state_->processes = &processes;
}

void RealEnv::use_http(HttpClient& http)
{
    state_->http = &http;
}

asio::io_context& RealEnv::context()
{
    return state_->context;
}

Executor RealEnv::executor()
{
    return state_->context.get_executor();
}

Time RealEnv::now() const
{
    return state_->now();
}

WallTime RealEnv::wall_now() const
{
    return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

Env::TimerId RealEnv::start_timer(Time at, std::move_only_function<void()> action)
{
    auto const id = ++state_->last_timer;
    state_->timers.emplace(std::pair(at, id), std::move(action));
    state_->timer_times.emplace(id, at);
    state_->arm();
    return id;
}

void RealEnv::cancel_timer(TimerId id)
{
    auto const found = state_->timer_times.find(id);
    if (found == state_->timer_times.end()) {
        return;
    }
    state_->timers.erase(std::pair(found->second, id));
    state_->timer_times.erase(found);
    if (state_->timers.empty()) {
        state_->arm();
    }
}

Random& RealEnv::random(std::string_view)
{
    return state_->random;
}

Network& RealEnv::network()
{
    return state_->network;
}

Disk& RealEnv::disk()
{
    return state_->disk;
}

Processes& RealEnv::processes()
{
    PLEXUS_ASSERT(state_->processes != nullptr);
    return *state_->processes;
}

HttpClient& RealEnv::http()
{
    PLEXUS_ASSERT(state_->http != nullptr);
    return *state_->http;
}

void RealEnv::post_work(std::move_only_function<void()> work, std::move_only_function<void()> done)
{
    if (!state_->pool) {
        state_->pool.emplace(state_->workers);
    }
    asio::post(*state_->pool, [work = std::move(work), done = std::move(done), executor = executor(),
                               guard = asio::make_work_guard(state_->context)]() mutable {
        work();
        asio::post(executor, std::move(done));
    });
}

}  // namespace plexus
