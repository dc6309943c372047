#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "base/byte_stream.h"
#include "base/bytes.h"
#include "base/http_client.h"
#include "base/task.h"
#include "base/time.h"

namespace plexus {

/// A stream of random bytes of one component. From the operating system in RealEnv, from the seed in SimEnv.
class Random {
public:
    virtual ~Random() = default;
    virtual void fill(MutableByteView target) = 0;

    std::uint64_t next();
    /// Uniform in [0, bound); bound > 0.
    std::uint64_t below(std::uint64_t bound);
    Bytes bytes(std::size_t count);
};

/// An internet address and port.
struct Endpoint {
    asio::ip::address address;
    std::uint16_t port = 0;

    bool operator==(Endpoint const&) const = default;
    bool operator<(Endpoint const& other) const
    {
        return address == other.address ? port < other.port : address < other.address;
    }
    /// "192.0.2.1:4001" or "[2001:db8::1]:4001".
    std::string text() const;
};

/// A connected socket.
class Socket : public ByteStream {
public:
    /// Writes all parts behind one another, in one system call where possible.
    virtual Task<Result<void>> write_gathered(std::span<ByteView const> parts) = 0;

    /// Unix sockets have an empty address.
    virtual Endpoint local_endpoint() const = 0;
    virtual Endpoint remote_endpoint() const = 0;
};

/// A listening socket. Destroying it stops listening.
class Acceptor {
public:
    virtual ~Acceptor() = default;
    /// Errors: `closed` after `close()`; other errors concern one connection only, call again.
    virtual Task<Result<std::unique_ptr<Socket>>> accept() = 0;
    virtual Endpoint local_endpoint() const = 0;
    virtual void close() = 0;
};

struct InterfaceAddress {
    std::string name;
    asio::ip::address address;

    bool operator==(InterfaceAddress const&) const = default;
};

/// A member of a multicast group on one interface. Hears what is sent to the group there, also what it sends itself.
class GroupSocket {
public:
    static constexpr std::size_t max_datagram_bytes = 9000;

    virtual ~GroupSocket() = default;
    /// The next datagram. Longer ones are dropped, as are those that nobody takes in time. Errors: `closed` after
    /// `close()`, `io`.
    virtual Task<Result<Bytes>> receive() = 0;
    /// To the group. Does not wait. Errors: `unavailable` (no room, no route), `io`.
    virtual Result<void> send(ByteView datagram) = 0;
    virtual void close() = 0;
};

/// Tells of links and addresses that come and go.
class InterfaceWatch {
public:
    virtual ~InterfaceWatch() = default;
    /// Waits until what Network::interface_addresses gives may have changed since the last call. Errors: `io`.
    virtual Task<Result<void>> changed() = 0;
};

class Network {
public:
    virtual ~Network() = default;
    /// Errors: `timed_out`, `refused`, `unavailable` (no route), `io`.
    virtual Task<Result<std::unique_ptr<Socket>>> connect(Endpoint to, Deadline deadline) = 0;
    /// Port 0 picks a free one. Errors: `conflict` if the port is taken, `io`.
    virtual Result<std::unique_ptr<Acceptor>> listen(Endpoint at) = 0;
    /// A Unix socket at `path`, readable by its owner only; a stale file is replaced.
    virtual Result<std::unique_ptr<Acceptor>> listen_local(std::filesystem::path const& path) = 0;
    virtual Task<Result<std::unique_ptr<Socket>>> connect_local(std::filesystem::path const& path) = 0;
    /// Addresses of interfaces that are up, loopback included.
    virtual std::vector<InterfaceAddress> interface_addresses() = 0;
    /// Errors: `io`: the system does not tell.
    virtual Result<std::unique_ptr<InterfaceWatch>> watch_interfaces() = 0;
    /// Joins `group` on the interface of `at`; what is sent goes no further than that link.
    /// Errors: `unavailable` (the interface is gone, or knows no multicast), `io`.
    virtual Result<std::unique_ptr<GroupSocket>> join_group(Endpoint group, InterfaceAddress const& at) = 0;
};

/// An open file for reading at positions.
class File {
public:
    virtual ~File() = default;
    virtual std::uint64_t size() const = 0;
    /// Fewer bytes than asked only at the end.
    virtual Result<std::size_t> read_at(std::uint64_t offset, MutableByteView target) const = 0;
    /// Descriptor to hand to a child process; -1 in the simulation. Owned by this object.
    virtual int descriptor() const = 0;
};

/// A file being written. Writes at places that do not overlap may be made from several threads.
class WritableFile {
public:
    virtual ~WritableFile() = default;
    /// Goes on behind the last `write`, at first at the beginning. Errors: `out_of_space`, `io`.
    virtual Result<void> write(ByteView bytes) = 0;
    /// Leaves zeros in what it skips. Errors: `out_of_space`, `io`.
    virtual Result<void> write_at(std::uint64_t offset, ByteView bytes) = 0;
    /// Makes the file at least `size` bytes long, and sets the room aside where the file system can.
    /// Errors: `out_of_space`, `io`.
    virtual Result<void> reserve(std::uint64_t size) = 0;
    /// Makes all written bytes durable.
    virtual Result<void> sync() = 0;
};

enum class FileKind { file, folder, other };

struct FileStatus {
    FileKind kind = FileKind::file;
    std::uint64_t size = 0;
    unsigned mode = 0;  ///< permission bits, like 0600
    WallTime modified{};
    std::uint64_t inode = 0;
};

/// The disk. Calls block; what may take long is called from `run_on_pool`. RealDisk may be called from any thread.
class Disk {
public:
    virtual ~Disk() = default;
    /// Errors of all: `not_found`, `not_allowed`, `out_of_space`, `conflict` (exists), `io`.
    virtual Result<std::unique_ptr<File>> open(std::filesystem::path const& path) = 0;
    /// Must not exist yet.
    virtual Result<std::unique_ptr<WritableFile>> create(std::filesystem::path const& path, unsigned mode) = 0;
    /// A file that is there already, with its bytes; `write` goes on behind them.
    virtual Result<std::unique_ptr<WritableFile>> open_to_write(std::filesystem::path const& path) = 0;
    virtual Result<void> make_folders(std::filesystem::path const& path, unsigned mode) = 0;
    virtual Result<void> rename(std::filesystem::path const& from, std::filesystem::path const& to) = 0;
    virtual Result<void> link(std::filesystem::path const& existing, std::filesystem::path const& added) = 0;
    virtual Result<void> remove(std::filesystem::path const& path) = 0;
    virtual Result<void> sync_folder(std::filesystem::path const& path) = 0;
    virtual Result<FileStatus> status(std::filesystem::path const& path) = 0;
    /// Names of the entries, sorted.
    virtual Result<std::vector<std::string>> list(std::filesystem::path const& path) = 0;
    virtual Result<std::uint64_t> free_bytes(std::filesystem::path const& path) = 0;

    /// The whole of a small file. Errors: also `too_large` for more than `limit` bytes.
    Result<Bytes> read_file(std::filesystem::path const& path, std::size_t limit);
    /// Replaces the file in one step: temporary file, sync, rename, sync of the folder. All or nothing.
    Result<void> write_file(std::filesystem::path const& path, ByteView bytes, unsigned mode);
};

/// How a child process is started: always with one connected socket and, if set, one or two files, and nothing else.
struct ProcessOptions {
    std::filesystem::path program{};
    std::vector<std::string> arguments{};
    /// Handed over open, at the descriptor named by Processes::file_descriptor.
    std::shared_ptr<File const> file{};
    /// The same at Processes::second_file_descriptor; only together with `file`.
    std::shared_ptr<File const> second_file{};
    std::vector<std::string> forbidden_paths{};  ///< what the start-up probe of the child must fail to open
    std::uint64_t memory_limit_bytes = 0;      ///< 0: none
};

class Process {
public:
    virtual ~Process() = default;  ///< kills it if it still runs
    virtual ByteStream& channel() = 0;
    /// Waits for its end: exit status, or 128 + signal. May be awaited by one task.
    virtual Task<int> wait() = 0;
    virtual void kill() = 0;
    virtual int id() const = 0;
};

class Processes {
public:
    static constexpr int channel_descriptor = 3;
    static constexpr int file_descriptor = 4;
    static constexpr int second_file_descriptor = 5;

    virtual ~Processes() = default;
    virtual Result<std::unique_ptr<Process>> start(ProcessOptions options) = 0;
};

/// All that touches the world outside: clock, timers, randomness, network, disk, processes, HTTP, worker threads.
///
/// RealEnv binds the operating system, SimEnv a virtual clock and simulated links driven by one seed.
class Env {
public:
    using TimerId = std::uint64_t;

    virtual ~Env() = default;

    virtual Executor executor() = 0;
    virtual Time now() const = 0;
    virtual WallTime wall_now() const = 0;

    /// Calls `action` on the loop at `at` or soon after, once.
    virtual TimerId start_timer(Time at, std::move_only_function<void()> action) = 0;
    /// A timer that has fired or was cancelled is ignored.
    virtual void cancel_timer(TimerId id) = 0;

    /// The random stream of a component; the same object for the same name.
    virtual Random& random(std::string_view component) = 0;
    virtual Network& network() = 0;
    virtual Disk& disk() = 0;
    virtual Processes& processes() = 0;
    virtual HttpClient& http() = 0;

    /// Runs `work` on a worker thread, then `done` on the loop. `work` owns or copies all that it uses.
    virtual void post_work(std::move_only_function<void()> work, std::move_only_function<void()> done) = 0;

    Deadline deadline_in(Duration duration) const { return Deadline(now() + duration); }
};

/// Calls `action` on the loop at a time, unless it is destroyed before. Time::max() means never.
class Alarm {
public:
    Alarm(Env& env, Time at, std::move_only_function<void()> action);
    Alarm(Alarm const&) = delete;
    ~Alarm();

private:
    Env& env_;
    std::optional<Env::TimerId> timer_;
};

/// Waits until `at`. Cancellable.
Task<> sleep_until(Env& env, Time at);
Task<> sleep_for(Env& env, Duration duration);

namespace detail {
/// Cancels what is bound to `stop` when the deadline passes or the surrounding task is cancelled.
class DeadlineGuard {
public:
    DeadlineGuard(Env& env, Deadline deadline, asio::cancellation_slot outer);
    DeadlineGuard(DeadlineGuard const&) = delete;
    ~DeadlineGuard();

    asio::cancellation_slot slot() { return stop_.slot(); }
    bool expired() const { return expired_; }

private:
    Env& env_;
    asio::cancellation_slot outer_;
    asio::cancellation_signal stop_;
    bool expired_ = false;
    Env::TimerId timer_ = 0;
};
}  // namespace detail

/// The task's result, or `timed_out` when the deadline passes first; the task is then unwound before this returns.
template <typename T>
Task<Result<T>> with_deadline(Env& env, Deadline deadline, Task<Result<T>> task);

/// Runs `work` (returning T) on a worker thread and gives its value back on the loop.
template <typename Work>
auto run_on_pool(Env& env, Work work) -> Task<std::invoke_result_t<Work&>>;

}  // namespace plexus

#include "base/env_inline.h"
