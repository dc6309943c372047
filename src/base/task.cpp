#include "base/task.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "base/log.h"

namespace plexus {

Signal::~Signal()
{
    while (!waiters_.empty()) {
        auto const waiter = waiters_.front();
        finish(waiter, asio::error::operation_aborted);
    }
}

Task<> Signal::wait()
{
    co_await asio::async_initiate<asio::use_awaitable_t<Executor> const, void(boost::system::error_code)>(
        [this](auto handler) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            auto waiter = std::make_shared<Waiter>(std::move(handler));
            waiters_.push_back(waiter);
            if (slot.is_connected()) {
                slot.assign([this, waiter](asio::cancellation_type) {
                    if (*waiter) {
                        finish(waiter, asio::error::operation_aborted);
                    }
                });
            }
        },
        use_task);
}

void Signal::notify()
{
    while (!waiters_.empty()) {
        auto const waiter = waiters_.front();
        finish(waiter, {});
    }
}

void Signal::finish(std::shared_ptr<Waiter> const& waiter, boost::system::error_code error)
{
    auto handler = std::exchange(*waiter, nullptr);
    waiters_.remove(waiter);
    // Posted, so that the one who notifies is never re-entered.
    asio::post(executor_, [handler = std::move(handler), error]() mutable { handler(error); });
}

struct TaskScope::State {
    struct Entry {
        std::string name;
        bool started = false;
        asio::cancellation_signal cancellation;
    };

    explicit State(Executor loop) : executor(loop), ended(loop) {}

    Executor executor;
    std::list<std::shared_ptr<Entry>> entries;
    bool cancelled = false;
    Signal ended;
};

namespace {

void report(std::string const& name, std::exception_ptr const& exception)
{
    try {
        std::rethrow_exception(exception);
    } catch (boost::system::system_error const& error) {
        if (error.code() != asio::error::operation_aborted) {
            log::error("a task failed", {{"task", name}, {"reason", error.what()}});
        }
    } catch (asio::multiple_exceptions const&) {
        // Two awaited branches were cancelled together.
    } catch (std::exception const& error) {
        log::error("a task failed", {{"task", name}, {"reason", error.what()}});
    }
}

}  // namespace

TaskScope::TaskScope(Executor executor) : state_(std::make_shared<State>(std::move(executor))) {}

TaskScope::~TaskScope()
{
    PLEXUS_ASSERT(state_->entries.empty());
}

void TaskScope::spawn(std::string name, Task<> task)
{
    if (state_->cancelled) {
        return;
    }
    auto entry = std::make_shared<State::Entry>();
    entry->name = std::move(name);
    state_->entries.push_back(entry);
    auto ended = [state = state_, place = std::prev(state_->entries.end())](std::exception_ptr exception) {
        auto const kept = *place;
        state->entries.erase(place);
        if (exception) {
            report(kept->name, exception);
        }
        if (state->entries.empty()) {
            state->ended.notify();
        }
    };
    // Asio lets an exception out of the loop when a coroutine is cancelled that has not suspended yet.
    auto guarded = [](std::shared_ptr<State> state, std::shared_ptr<State::Entry> own, Task<> inner) -> Task<> {
        own->started = true;
        if (state->cancelled) {
            co_return;
        }
        auto failure = std::exception_ptr{};
        try {
            co_await std::move(inner);
        } catch (...) {
            failure = std::current_exception();
        }
        co_await asio::this_coro::throw_if_cancelled(false);
        if (failure) {
            std::rethrow_exception(failure);
        }
    };
    asio::co_spawn(state_->executor, guarded(state_, entry, std::move(task)),
                   asio::bind_cancellation_slot(entry->cancellation.slot(), std::move(ended)));
}

void TaskScope::cancel()
{
    auto const state = state_;
    state->cancelled = true;
    auto const entries = state->entries;
    for (auto const& entry : entries) {
        if (!entry->started) {
            continue;
        }
        entry->cancellation.emit(asio::cancellation_type::terminal);
    }
}

Task<> TaskScope::join()
{
    auto const state = state_;
    cancel();
    while (!state->entries.empty()) {
        co_await state->ended.wait();
    }
}

std::size_t TaskScope::running() const
{
    return state_->entries.size();
}

}  // namespace plexus
