#pragma once

// Templates of env.h.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/env.h"

namespace plexus {

template <typename T>
Task<Result<T>> with_deadline(Env& env, Deadline deadline, Task<Result<T>> task)
{
    if (deadline.is_never()) {
        co_return co_await std::move(task);
    }
    auto const cancellation = co_await asio::this_coro::cancellation_state;
    auto guard = detail::DeadlineGuard(env, deadline, cancellation.slot());
    auto const executor = env.executor();
    // co_spawn needs a result that can be empty.
    auto optional = [](Task<Result<T>> inner) -> Task<std::optional<Result<T>>> { co_return co_await std::move(inner); };
    try {
        auto bound = asio::bind_cancellation_slot(guard.slot(), use_task);
        auto result = co_await asio::co_spawn(executor, optional(std::move(task)), bound);
        co_return std::move(*result);
    } catch (boost::system::system_error const&) {
        if (!guard.expired()) {
            throw;
        }
    }
    co_return fail(ErrorKind::timed_out, "the deadline passed");
}

template <typename Work>
auto run_on_pool(Env& env, Work work) -> Task<std::invoke_result_t<Work&>>
{
    using Value = std::invoke_result_t<Work&>;
    struct Shared {
        explicit Shared(Executor executor) : done(std::move(executor)) {}
        std::optional<Value> value;  // written by the worker, read by the loop after `ready`
        bool ready = false;
        Signal done;
    };
    auto const shared = std::make_shared<Shared>(env.executor());
    env.post_work([shared, work = std::move(work)]() mutable { shared->value.emplace(work()); },
                  [shared] {
                      shared->ready = true;
                      shared->done.notify();
                  });
    while (!shared->ready) {
        co_await shared->done.wait();
    }
    co_return std::move(*shared->value);
}

}  // namespace plexus
