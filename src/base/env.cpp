#include "base/env.h"

namespace plexus {

std::uint64_t Random::next()
{
    auto buffer = std::array<std::byte, 8>{};
    fill(buffer);
    return load_little_endian<std::uint64_t>(buffer.data());
}

std::uint64_t Random::below(std::uint64_t bound)
{
    PLEXUS_ASSERT(bound > 0);
    auto const limit = UINT64_MAX - UINT64_MAX % bound;
    auto value = next();
    while (value >= limit) {
        value = next();
    }
    return value % bound;
}

Bytes Random::bytes(std::size_t count)
{
    auto made = Bytes(count);
    fill(made);
    return made;
}

std::string Endpoint::text() const
{
    return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), port)
                           : fmt::format("{}:{}", address.to_string(), port);
}

Result<Bytes> Disk::read_file(std::filesystem::path const& path, std::size_t limit)
{
    auto file = open(path);
    if (!file) {
        return std::unexpected(file.error());
    }
    if ((*file)->size() > limit) {
        return fail(ErrorKind::too_large, "{} has {} bytes, at most {} are read", path.string(), (*file)->size(), limit);
    }
    auto bytes = Bytes((*file)->size());
    auto const count = (*file)->read_at(0, bytes);
    if (!count) {
        return std::unexpected(count.error());
    }
    bytes.resize(*count);
    return bytes;
}

namespace {

Result<void> write_and_sync(Disk& disk, std::filesystem::path const& path, ByteView bytes, unsigned mode)
{
    auto file = disk.create(path, mode);
    if (!file) {
        return std::unexpected(file.error());
    }
    if (auto written = (*file)->write(bytes); !written) {
        return written;
    }
    return (*file)->sync();
}

}  // namespace

Result<void> Disk::write_file(std::filesystem::path const& path, ByteView bytes, unsigned mode)
{
    auto temporary = path;
    temporary += ".partial";
    std::ignore = remove(temporary);
    auto done = write_and_sync(*this, temporary, bytes, mode);
    if (done) {
        done = rename(temporary, path);
    }
    if (!done) {
        std::ignore = remove(temporary);
        return done;
    }
    return sync_folder(path.parent_path());
}

namespace detail {

DeadlineGuard::DeadlineGuard(Env& env, Deadline deadline, asio::cancellation_slot outer) : env_(env), outer_(outer)
{
    if (outer_.is_connected()) {
        outer_.assign([this](asio::cancellation_type type) { stop_.emit(type); });
    }
    timer_ = env_.start_timer(deadline.at(), [this] {
        expired_ = true;
        stop_.emit(asio::cancellation_type::terminal);
    });
}

DeadlineGuard::~DeadlineGuard()
{
    env_.cancel_timer(timer_);
    if (outer_.is_connected()) {
        outer_.clear();
    }
}

}  // namespace detail

Alarm::Alarm(Env& env, Time at, std::move_only_function<void()> action) : env_(env)
{
    if (at != Time::max()) {
        timer_ = env_.start_timer(at, std::move(action));
    }
}

Alarm::~Alarm()
{
    if (timer_) {
        env_.cancel_timer(*timer_);
    }
}

Task<> sleep_until(Env& env, Time at)
{
    struct Sleep {
        Sleep(Env& env_used, Time until)
            : env(env_used), woken(env_used.executor()), timer(env_used.start_timer(until, [this] {
                  over = true;
                  woken.notify();
              }))
        {
        }
        ~Sleep() { env.cancel_timer(timer); }
        Env& env;
        bool over = false;
        Signal woken;
        Env::TimerId timer;
    };
    auto sleep = Sleep(env, at);
    while (!sleep.over) {
        co_await sleep.woken.wait();
    }
}

Task<> sleep_for(Env& env, Duration duration)
{
    return sleep_until(env, env.now() + duration);
}

}  // namespace plexus
