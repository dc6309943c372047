#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/result.h"

namespace plexus {

namespace asio = boost::asio;

/// Where all mesh state lives: one loop, one thread.
using Executor = asio::io_context::executor_type;

/// A coroutine of the loop. It starts when awaited or spawned; cancellation unwinds it.
template <typename T = void>
using Task = asio::awaitable<T, Executor>;

inline constexpr asio::use_awaitable_t<Executor> use_task{};

/// A point at which tasks wait until something happens. Several may wait; `notify` wakes all that wait now.
///
/// Wake-ups are hints: the waiter checks its condition again. Destroying it wakes the waiters by cancellation.
class Signal {
public:
    explicit Signal(Executor executor) : executor_(std::move(executor)) {}
    Signal(Signal const&) = delete;
    Signal& operator=(Signal const&) = delete;
    ~Signal();

    Task<> wait();
    void notify();

    Executor const& executor() const { return executor_; }

private:
    using Waiter = std::move_only_function<void(boost::system::error_code)>;
    void finish(std::shared_ptr<Waiter> const& waiter, boost::system::error_code error);

    Executor executor_;
    std::list<std::shared_ptr<Waiter>> waiters_;
};

/// Owns background tasks. Last member of the object it serves; that object's `stop()` awaits `join()`.
///
/// A task that throws is logged under its name and ends; cancellation is no failure.
class TaskScope {
public:
    explicit TaskScope(Executor executor);
    TaskScope(TaskScope const&) = delete;
    TaskScope& operator=(TaskScope const&) = delete;
    /// Nothing may be running any more.
    ~TaskScope();

    /// Starts `task` on the loop. After `cancel()` the task is dropped unstarted.
    void spawn(std::string name, Task<> task);

    /// Asks all tasks to unwind. Returns at once.
    void cancel();

    /// Cancels, then waits until every task has ended.
    Task<> join();

    std::size_t running() const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

/// A bounded queue between tasks of one loop.
template <typename T>
class Mailbox {
public:
    Mailbox(Executor executor, std::size_t limit) : limit_(limit), changed_(std::move(executor)) {}

    std::size_t size() const { return items_.size(); }
    bool is_closed() const { return closed_; }

    /// Takes `item` if there is room and the box is open.
    [[nodiscard]] bool try_push(T item)
    {
        if (closed_ || items_.size() >= limit_) {
            return false;
        }
        items_.push_back(std::move(item));
        changed_.notify();
        return true;
    }

    /// Waits for room. Errors: `closed`.
    Task<Result<void>> push(T item)
    {
        while (!closed_ && items_.size() >= limit_) {
            co_await changed_.wait();
        }
        if (closed_) {
            co_return fail(ErrorKind::closed, "the mailbox is closed");
        }
        items_.push_back(std::move(item));
        changed_.notify();
        co_return Result<void>{};
    }

    std::optional<T> try_pop()
    {
        if (items_.empty()) {
            return std::nullopt;
        }
        auto item = std::optional<T>(std::move(items_.front()));
        items_.pop_front();
        changed_.notify();
        return item;
    }

    /// Waits for an item; what was pushed before `close()` still comes out. Errors: `closed`.
    Task<Result<T>> pop()
    {
        while (items_.empty() && !closed_) {
            co_await changed_.wait();
        }
        auto item = try_pop();
        if (!item) {
            co_return fail(ErrorKind::closed, "the mailbox is closed");
        }
        co_return std::move(*item);
    }

    void close()
    {
        closed_ = true;
        changed_.notify();
    }

private:
    std::size_t limit_;
    bool closed_ = false;
    std::deque<T> items_;
    Signal changed_;
};

}  // namespace plexus
