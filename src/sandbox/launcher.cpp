#include "sandbox/launcher.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <csignal>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/log.h"
#include "base/real_env.h"
#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

constexpr auto exec_failed = 127;
constexpr std::uint32_t group_weight = 50;  // the daemon must stay quick beside its engines
constexpr std::uint64_t group_slack = 64ULL << 20;  // the program itself
constexpr std::uint64_t own_namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                         CLONE_NEWUTS;

/// What the child needs, prepared before the clone: after it only system calls are allowed.
struct ChildPlan {
    int channel = -1;
    int file = -1;
    int second_file = -1;
    int nothing = -1;  // /dev/null
    int errors = -1;
    int group = -1;  // members of the control group
    bool group_namespace = true;
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

/// Keeps, over the start of the program, the one capability in the own user namespace that an empty root needs.
void keep_capability()
{
    constexpr auto kept = std::uint32_t{1} << CAP_SYS_ADMIN;
    auto header = __user_cap_header_struct{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3] = {{kept, kept, kept}, {0, 0, 0}};
    ::syscall(SYS_capset, &header, held);
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0);
}

void limit_resources(rlim_t memory)
{
    ::signal(SIGXFSZ, SIG_IGN);  // growing a file is an error, not an end
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_MEMLOCK, 0);
    set_limit(RLIMIT_NOFILE, descriptor_limit);
    set_limit(RLIMIT_NPROC, thread_limit);
    if (memory != 0) {
        // Not the address space: the model is mapped, and allocators reserve far more than they use.
        set_limit(RLIMIT_DATA, memory);
    }
}

[[noreturn]] void become_program(ChildPlan const& plan)
{
    if (plan.group >= 0) {
        std::ignore = ::write(plan.group, "0", 1);  // the program looks whether it is in the group
    }
    if (plan.group_namespace) {
        ::unshare(CLONE_NEWCGROUP);  // whose root is the group that the process is in now
    }
    // Moved up first, so that no target number is overwritten before it was used.
    auto const channel = ::fcntl(plan.channel, F_DUPFD, 10);
    auto const file = plan.file >= 0 ? ::fcntl(plan.file, F_DUPFD, 10) : -1;
    auto const second_file = plan.second_file >= 0 ? ::fcntl(plan.second_file, F_DUPFD, 10) : -1;
    ::dup2(plan.nothing, 0);
    ::dup2(plan.errors, 1);
    ::dup2(plan.errors, 2);
    ::dup2(channel, Processes::channel_descriptor);
    if (file >= 0) {
        ::dup2(file, Processes::file_descriptor);
    }
    if (second_file >= 0) {
        ::dup2(second_file, Processes::second_file_descriptor);
    }
    if (plan.close_others) {
        auto const files = (file >= 0 ? 1 : 0) + (second_file >= 0 ? 1 : 0);
        ::syscall(SYS_close_range, Processes::file_descriptor + files, ~0U, 0U);
    }
    ::setsid();
    auto signals = sigset_t{};
    sigemptyset(&signals);
    ::sigprocmask(SIG_SETMASK, &signals, nullptr);
    if (plan.parent_death) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    if (plan.limits) {
        limit_resources(plan.memory);
    }
    keep_capability();
    if (plan.no_new_privileges) {
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    ::execve(plan.arguments[0], plan.arguments.data(), plan.environment);
    ::_exit(exec_failed);
}

class SandboxedProcess final : public Process {
public:
    SandboxedProcess(asio::io_context& context, int descriptor, int id, std::unique_ptr<Socket> channel,
                     std::optional<EngineGroup> group)
        : group_(std::move(group)), descriptor_(context, descriptor), id_(id), channel_(std::move(channel))
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

    std::optional<EngineGroup> group_;
    asio::posix::basic_stream_descriptor<Executor> descriptor_;
    int id_;
    std::unique_ptr<Socket> channel_;
    std::optional<int> status_;
};

rlim_t memory_limit(ProcessOptions const& options)
{
    return Launcher::can_limit_memory ? options.memory_limit_bytes : 0;
}

/// The clone of today's kernels is refused as a whole by some containers; this one is not.
long clone_process(std::uint64_t flags, int& process_descriptor)
{
    return ::syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, nullptr, &process_descriptor, nullptr, nullptr);
}

/// What to try, the most first.
std::vector<std::uint64_t> namespace_sets(std::uint64_t wanted, bool allows_weak)
{
    if (!allows_weak) {
        return {wanted};
    }
    return {wanted, wanted & ~std::uint64_t{CLONE_NEWUSER}, wanted & CLONE_NEWUSER, 0};
}

}  // namespace

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
bool const Launcher::can_limit_memory = false;
#else
bool const Launcher::can_limit_memory = true;
#endif

std::vector<std::string> Launcher::arguments_of(ProcessOptions const& options, EngineGroup const* group) const
{
    auto arguments = std::vector<std::string>{options.program.string()};
    auto const add = [&](std::string name, std::string value) {
        arguments.push_back(std::move(name));
        arguments.push_back(std::move(value));
    };
    for (auto const& known : namespace_names) {
        add("--outside", fmt::format("{}:{}", known.name, namespace_inode(known.name)));
    }
    add("--daemon", std::to_string(::getpid()));
    add("--user", fmt::format("{}:{}", ::geteuid(), ::getegid()));
    if (auto const memory = memory_limit(options); memory != 0) {
        add("--memory", std::to_string(memory));
    }
    if (group != nullptr) {
        add("--group", group->folder().string());
    }
    if (allows_weak_) {
        add("--weak", "yes");
    }
    if (options.second_file) {
        add("--draft", "yes");
    }
    for (auto const& path : options.forbidden_paths) {
        add("--forbid", path);
    }
    arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
    return arguments;
}

std::uint64_t Launcher::wanted_namespaces() const
{
    switch (left_out_.value_or(Layer::seccomp)) {
    case Layer::user_namespace: return own_namespaces & ~std::uint64_t{CLONE_NEWUSER};
    case Layer::mount_namespace: return own_namespaces & ~std::uint64_t{CLONE_NEWNS};
    case Layer::process_namespace: return own_namespaces & ~std::uint64_t{CLONE_NEWPID};
    case Layer::network_namespace: return own_namespaces & ~std::uint64_t{CLONE_NEWNET};
    case Layer::ipc_namespace: return own_namespaces & ~std::uint64_t{CLONE_NEWIPC};
    case Layer::name_namespace: return own_namespaces & ~std::uint64_t{CLONE_NEWUTS};
    default: return own_namespaces;
    }
}

Result<std::optional<EngineGroup>> Launcher::make_group(ProcessOptions const& options)
{
    if (!groups_) {
        return std::optional<EngineGroup>{};
    }
    auto const memory = memory_limit(options);
    // The pages of the models belong to the group too, but can be given back.
    auto const model = (options.file ? options.file->size() : 0) +
                       (options.second_file ? options.second_file->size() : 0);
    auto group = groups_->make({.memory_bytes = memory == 0 ? 0 : memory + model + group_slack,
                                .processes = thread_limit,
                                .weight = group_weight});
    if (!group) {
        return std::unexpected(group.error());
    }
    return std::optional(std::move(*group));
}

Result<std::unique_ptr<Process>> Launcher::start(ProcessOptions options)
{
    int pair[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return fail(ErrorKind::io, "cannot make a socket pair: {}", std::strerror(errno));
    }
    auto parent_end = Descriptor(pair[0]);
    auto const child_end = Descriptor(pair[1]);
    auto group = make_group(options);
    if (!group) {
        return std::unexpected(group.error());
    }
    auto const nothing = Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC));
    auto const verbose = std::getenv("PLEXUS_ENGINE_STDERR") != nullptr;
    auto arguments = arguments_of(options, *group ? &**group : nullptr);

    auto plan = ChildPlan{};
    plan.channel = child_end.get();
    plan.file = options.file ? options.file->descriptor() : -1;
    plan.second_file = options.second_file ? options.second_file->descriptor() : -1;
    plan.nothing = nothing.get();
    plan.errors = verbose ? STDERR_FILENO : nothing.get();
    plan.group = *group && left_out_ != Layer::group ? (*group)->members() : -1;
    plan.group_namespace = left_out_ != Layer::group_namespace;
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
    auto id = -1L;
    for (auto const namespaces : namespace_sets(wanted_namespaces(), allows_weak_)) {
        id = clone_process(namespaces, process_descriptor);
        if (id >= 0) {
            break;
        }
    }
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
                                              adopt_local_socket(context_.get_executor(), parent_end.release()),
                                              std::move(*group));
}

}  // namespace plexus::sandbox
