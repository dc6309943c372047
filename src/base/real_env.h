#pragma once

#include "base/env.h"

namespace plexus {

/// The operating system's clock, sockets, files and threads on an Asio loop. Owned by `main`.
///
/// `run()` is called from one thread, which then is the loop. Timers share one operating-system timer.
class RealEnv final : public Env {
public:
    /// `workers` threads serve run_on_pool; they start with the first work.
    explicit RealEnv(unsigned workers = 1);
    ~RealEnv() override;

    /// Runs until `stop()` or until nothing is left to do.
    void run();
    void stop();
    /// Calls `action` on the loop when SIGINT or SIGTERM arrives, once each.
    void on_termination(std::move_only_function<void()> action);

    /// The real sandboxed launcher, set by `node` before the first process is started. Not owned.
    void use_processes(Processes& processes);
    /// The HTTP client, set before its first use by programs that have one (RealHttp). Not owned.
    void use_http(HttpClient& http);

    asio::io_context& context();

    Executor executor() override;
    Time now() const override;
    WallTime wall_now() const override;
    TimerId start_timer(Time at, std::move_only_function<void()> action) override;
    void cancel_timer(TimerId id) override;
    Random& random(std::string_view component) override;
    Network& network() override;
    Disk& disk() override;
    Processes& processes() override;
    HttpClient& http() override;
    void post_work(std::move_only_function<void()> work, std::move_only_function<void()> done) override;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A connected Unix socket made elsewhere (a socket pair), as a stream of the loop. Takes the descriptor over.
std::unique_ptr<Socket> adopt_local_socket(Executor executor, int descriptor);

}  // namespace plexus
