#include "sandbox/launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <csignal>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/real_env.h"

namespace plexus::sandbox {

namespace {

constexpr auto exec_failed = 127;
constexpr rlim_t descriptor_limit = 64;

/// What the child needs, prepared before the clone: after it only system calls are allowed.
struct ChildPlan {
    int channel = -1;
    int file = -1;
    int nothing = -1;  // /dev/null
    int errors = -1;
    bool close_others = true;
    bool limits = true;
    bool no_new_privileges = true;
    bool parent_death = true;
    rlim_t memory = 0;
    std::vector<char*> arguments;
    char* environment[2] = {nullptr, nullptr};
};

void set_limit(int resource, rlim_t value)
{
    auto const limit = rlimit{value, value};
    ::setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

[[noreturn]] void become_program(ChildPlan const& plan)
{
    // Moved up first, so that no target number is overwritten before it was used.
    auto const channel = ::fcntl(plan.channel, F_DUPFD, 10);
    auto const file = plan.file >= 0 ? ::fcntl(plan.file, F_DUPFD, 10) : -1;
    ::dup2(plan.nothing, 0);
    ::dup2(plan.errors, 1);
    ::dup2(plan.errors, 2);
    ::dup2(channel, Processes::channel_descriptor);
    if (file >= 0) {
        ::dup2(file, Processes::file_descriptor);
    }
    if (plan.close_others) {
        ::syscall(SYS_close_range, Processes::file_descriptor + (file >= 0 ? 1 : 0), ~0U, 0U);
    }
    ::setsid();
    auto signals = sigset_t{};
    sigemptyset(&signals);
    ::sigprocmask(SIG_SETMASK, &signals, nullptr);
    if (plan.parent_death) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    if (plan.limits) {
        ::signal(SIGXFSZ, SIG_IGN);  // growing a file is an error, not an end
        set_limit(RLIMIT_CORE, 0);
        set_limit(RLIMIT_FSIZE, 0);
        set_limit(RLIMIT_NOFILE, descriptor_limit);
        if (plan.memory != 0) {
            // Not the address space: the model is mapped, and allocators reserve far more than they use.
            set_limit(RLIMIT_DATA, plan.memory);
        }
    }
    if (plan.no_new_privileges) {
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    ::execve(plan.arguments[0], plan.arguments.data(), plan.environment);
    ::_exit(exec_failed);
}

class Descriptor {
public:
    explicit Descriptor(int value) : value_(value) {}
    Descriptor(Descriptor const&) = delete;
    Descriptor& operator=(Descriptor const&) = delete;
    ~Descriptor()
    {
        if (value_ >= 0) {
            ::close(value_);
        }
    }
    int get() const { return value_; }
    int release() { return std::exchange(value_, -1); }

private:
    int value_;
};

class SandboxedProcess final : public Process {
public:
    SandboxedProcess(asio::io_context& context, int descriptor, int id, std::unique_ptr<Socket> channel)
        : descriptor_(context, descriptor), id_(id), channel_(std::move(channel))
    {
    }

    ~SandboxedProcess() override
    {
        if (!status_) {
            kill();
            reap(WEXITED);
        }
    }

    ByteStream& channel() override { return *channel_; }
    int id() const override { return id_; }

    Task<int> wait() override
    {
        while (!status_) {
            co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_read, use_task);
            reap(WEXITED | WNOHANG);
        }
        co_return *status_;
    }

    void kill() override
    {
        if (!status_) {
            ::syscall(SYS_pidfd_send_signal, descriptor_.native_handle(), SIGKILL, nullptr, 0U);
        }
    }

private:
    void reap(int options)
    {
        auto info = siginfo_t{};
        if (::waitid(P_PIDFD, static_cast<id_t>(descriptor_.native_handle()), &info, options) == 0 && info.si_pid != 0) {
            status_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        }
    }

    asio::posix::basic_stream_descriptor<Executor> descriptor_;
    int id_;
    std::unique_ptr<Socket> channel_;
    std::optional<int> status_;
};

std::uint64_t namespace_inode(std::string_view name)
{
    struct stat status = {};
    return ::stat(fmt::format("/proc/self/ns/{}", name).c_str(), &status) == 0 ? status.st_ino : 0;
}

rlim_t memory_limit(ProcessOptions const& options)
{
    return Launcher::can_limit_memory ? options.memory_limit_bytes : 0;
}

std::vector<std::string> all_arguments(ProcessOptions const& options)
{
    auto arguments = std::vector<std::string>{options.program.string()};
    for (auto const name : namespace_names) {
        arguments.insert(arguments.end(), {"--outside", fmt::format("{}:{}", name, namespace_inode(name))});
    }
    if (auto const memory = memory_limit(options); memory != 0) {
        arguments.insert(arguments.end(), {"--memory", std::to_string(memory)});
    }
    for (auto const& path : options.forbidden_paths) {
        arguments.insert(arguments.end(), {"--forbid", path});
    }
    arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
    return arguments;
}

}  // namespace

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
bool const Launcher::can_limit_memory = false;
#else
bool const Launcher::can_limit_memory = true;
#endif

Result<std::unique_ptr<Process>> Launcher::start(ProcessOptions options)
{
    int pair[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return fail(ErrorKind::io, "cannot make a socket pair: {}", std::strerror(errno));
    }
    auto parent_end = Descriptor(pair[0]);
    auto const child_end = Descriptor(pair[1]);
    auto const nothing = Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto const verbose = std::getenv("PLEXUS_ENGINE_STDERR") != nullptr;
    auto arguments = all_arguments(options);

    auto plan = ChildPlan{};
    plan.channel = child_end.get();
    plan.file = options.file ? options.file->descriptor() : -1;
    plan.nothing = nothing.get();
    plan.errors = verbose ? STDERR_FILENO : nothing.get();
    plan.close_others = left_out_ != Layer::descriptors;
    plan.limits = left_out_ != Layer::limits;
    plan.no_new_privileges = left_out_ != Layer::no_new_privileges;
    plan.parent_death = left_out_ != Layer::parent_death;
    plan.memory = memory_limit(options);
    for (auto& argument : arguments) {
        plan.arguments.push_back(argument.data());
    }
    plan.arguments.push_back(nullptr);

    auto process_descriptor = -1;
    auto request = clone_args{};
    request.flags = CLONE_PIDFD;
    if (left_out_ != Layer::namespaces) {
        request.flags |= CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    }
    request.pidfd = reinterpret_cast<std::uint64_t>(&process_descriptor);
    request.exit_signal = SIGCHLD;
    auto const id = ::syscall(SYS_clone3, &request, sizeof request);
    if (id < 0) {
        return fail(ErrorKind::not_allowed,
                    "the system does not let the engine have namespaces of its own ({}); allow unprivileged user "
                    "namespaces",
                    std::strerror(errno));
    }
    if (id == 0) {
        become_program(plan);
    }
    return std::make_unique<SandboxedProcess>(context_, process_descriptor, static_cast<int>(id),
                                              adopt_local_socket(context_.get_executor(), parent_end.release()));
}

}  // namespace plexus::sandbox
