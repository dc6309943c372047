#include "base/sim_processes.h"

#include <boost/asio/bind_cancellation_slot.hpp>

namespace plexus::sim {

namespace {

constexpr int killed_status = 128 + 9;

/// Shared between the parent's handle and the running coroutine, which may outlive it.
struct Running {
    explicit Running(Executor executor) : ended(std::move(executor)) {}
    std::unique_ptr<Socket> child_end;
    asio::cancellation_signal stop;
    std::optional<int> status;
    Signal ended;
};

class SimProcess final : public Process {
public:
    SimProcess(std::shared_ptr<Running> running, std::unique_ptr<Socket> channel, int id)
        : running_(std::move(running)), channel_(std::move(channel)), id_(id)
    {
    }
    ~SimProcess() override { kill(); }

    ByteStream& channel() override { return *channel_; }
    int id() const override { return id_; }

    Task<int> wait() override
    {
        auto const running = running_;
        while (!running->status) {
            co_await running->ended.wait();
        }
        co_return *running->status;
    }

    void kill() override
    {
        if (!running_->status) {
            running_->status = killed_status;
            running_->stop.emit(asio::cancellation_type::terminal);
            running_->child_end->reset();
            running_->ended.notify();
        }
    }

private:
    std::shared_ptr<Running> running_;
    std::unique_ptr<Socket> channel_;
    int id_;
};

}  // namespace

Result<std::unique_ptr<Process>> SimProcesses::start(ProcessOptions options)
{
    auto const program = programs_.find(options.program.string());
    if (program == programs_.end()) {
        return fail(ErrorKind::not_found, "cannot start {}: no such program", options.program.string());
    }
    auto [parent_end, child_end] = make_local_pair(world_, name_);
    auto running = std::make_shared<Running>(world_.context.get_executor());
    running->child_end = std::move(child_end);
    auto finished = [running](std::exception_ptr failure, int status) {
        if (!running->status) {
            running->status = failure ? killed_status : status;
            running->child_end->reset();
            running->ended.notify();
        }
    };
    asio::co_spawn(world_.context.get_executor(),
                   program->second(env_, *running->child_end, std::move(options)),
                   asio::bind_cancellation_slot(running->stop.slot(), std::move(finished)));
    return std::make_unique<SimProcess>(running, std::move(parent_end), ++last_id_);
}

}  // namespace plexus::sim
