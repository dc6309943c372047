#include <csignal>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "base/env.h"
#include "sandbox/confine.h"

namespace plexus::sandbox {

namespace {

constexpr auto highest_descriptor = 1024;

/// An attempt that must fail; true means that the wall is open.
struct Attempt {
    Layer layer;
    std::string what;
    std::function<bool()> succeeds;
};

bool opens(char const* path, int flags)
{
    auto const descriptor = ::open(path, flags | O_CLOEXEC, 0600);
    if (descriptor >= 0) {
        ::close(descriptor);
    }
    return descriptor >= 0;
}

bool makes_socket(int family, int type)
{
    auto const descriptor = ::socket(family, type | SOCK_CLOEXEC, 0);
    if (descriptor >= 0) {
        ::close(descriptor);
    }
    return descriptor >= 0;
}

bool call_works(long result)
{
    return result >= 0;
}

bool forks()
{
    auto const child = ::fork();
    if (child == 0) {
        ::_exit(0);
    }
    if (child > 0) {
        ::waitpid(child, nullptr, 0);
    }
    return child >= 0;
}

bool executes()
{
    // Replaces this process by a shell that ends at once if nothing forbids it.
    char shell[] = "/bin/sh";
    char flag[] = "-c";
    char command[] = "exit 97";
    char* arguments[] = {shell, flag, command, nullptr};
    char* environment[] = {nullptr};
    ::execve(shell, arguments, environment);
    return false;
}

bool has_foreign_descriptors(int model_descriptor)
{
    for (auto descriptor = Processes::channel_descriptor + 1; descriptor < highest_descriptor; ++descriptor) {
        if (descriptor != model_descriptor && ::fcntl(descriptor, F_GETFD) >= 0) {
            return true;
        }
    }
    return false;
}

bool reads_foreign_memory()
{
    auto buffer = std::array<char, 8>{};
    auto const own = iovec{buffer.data(), buffer.size()};
    auto const other = iovec{buffer.data(), buffer.size()};
    return ::process_vm_readv(::getppid(), &own, 1, &other, 1, 0) >= 0;
}

bool limit_is(__rlimit_resource resource, rlim_t expected)
{
    auto limit = rlimit{};
    return ::getrlimit(resource, &limit) == 0 && limit.rlim_cur == expected && limit.rlim_max == expected;
}

std::vector<Attempt> file_attempts(Surroundings const& surroundings)
{
    auto attempts = std::vector<Attempt>{};
    auto paths = surroundings.forbidden_paths;
    for (auto const* path : {"/etc/shadow", "/etc/passwd", "/etc/hostname", "/proc/1/environ", "/proc/self/environ",
                             "/proc/self/maps", "/proc/self/mem", "/dev/null", "/dev/zero", "/", "/tmp", "/root", "/home"}) {
        paths.emplace_back(path);
    }
    for (auto const& path : paths) {
        attempts.push_back({Layer::landlock, "read " + path, [path] { return opens(path.c_str(), O_RDONLY); }});
    }
    for (auto const* path : {"/tmp/plexus-probe", "/dev/shm/plexus-probe", "/var/tmp/plexus-probe"}) {
        attempts.push_back({Layer::seccomp, std::string("write ") + path,
                            [path] { return opens(path, O_WRONLY | O_CREAT); }});
    }
    return attempts;
}

std::vector<Attempt> socket_attempts()
{
    auto attempts = std::vector<Attempt>{};
    for (auto const& [family, name] : {std::pair(AF_INET, "IPv4"), std::pair(AF_INET6, "IPv6"),
                                       std::pair(AF_UNIX, "Unix"), std::pair(AF_NETLINK, "netlink"),
                                       std::pair(AF_PACKET, "packet"), std::pair(AF_VSOCK, "vsock")}) {
        for (auto const type : std::array<int, 3>{SOCK_STREAM, SOCK_DGRAM, SOCK_RAW}) {
            attempts.push_back({Layer::seccomp, fmt::format("make a {} socket of type {}", name, type),
                                [family, type] { return makes_socket(family, type); }});
        }
    }
    attempts.push_back({Layer::seccomp, "connect", [] { return call_works(::connect(3, nullptr, 0)) || errno != EPERM; }});
    attempts.push_back({Layer::seccomp, "bind", [] { return call_works(::bind(3, nullptr, 0)) || errno != EPERM; }});
    return attempts;
}

std::vector<Attempt> call_attempts()
{
    return {
        {Layer::seccomp, "fork", forks},
        {Layer::seccomp, "execute a shell", executes},
        {Layer::seccomp, "trace the daemon", [] { return call_works(::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr)); }},
        {Layer::seccomp, "be traced", [] { return call_works(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
        {Layer::seccomp, "signal the daemon", [] { return call_works(::kill(::getppid(), 0)); }},
        {Layer::seccomp, "signal everyone", [] { return call_works(::kill(-1, 0)); }},
        {Layer::seccomp, "read the daemon's memory", reads_foreign_memory},
        {Layer::seccomp, "make a user namespace", [] { return call_works(::syscall(SYS_unshare, CLONE_NEWUSER)); }},
        {Layer::seccomp, "enter a namespace", [] { return call_works(::syscall(SYS_setns, 3, 0)) || errno != EPERM; }},
        {Layer::seccomp, "set up io_uring",
         [] {
             auto parameters = io_uring_params{};
             return call_works(::syscall(SYS_io_uring_setup, 1, &parameters));
         }},
        {Layer::seccomp, "load a BPF program", [] { return call_works(::syscall(SYS_bpf, 0, nullptr, 0)) || errno != EPERM; }},
        {Layer::seccomp, "use key rings", [] { return call_works(::syscall(SYS_keyctl, 0, -3, 0)); }},
        {Layer::seccomp, "add a key", [] { return call_works(::syscall(SYS_add_key, "user", "p", "x", 1, -3)); }},
        {Layer::seccomp, "mount", [] { return call_works(::mount("none", "/", "tmpfs", 0, nullptr)); }},
        {Layer::seccomp, "change the root", [] { return call_works(::chroot("/")); }},
        {Layer::seccomp, "pivot the root", [] { return call_works(::syscall(SYS_pivot_root, "/", "/")) || errno != EPERM; }},
        {Layer::seccomp, "watch page faults", [] { return call_works(::syscall(SYS_userfaultfd, 0)); }},
        {Layer::seccomp, "open performance events",
         [] {
             auto attributes = perf_event_attr{};
             return call_works(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0)) || errno != EPERM;
         }},
        {Layer::seccomp, "open a process descriptor", [] { return call_works(::syscall(SYS_pidfd_open, ::getpid(), 0)); }},
        {Layer::seccomp, "change its user", [] { return call_works(::setuid(1)) || errno != EPERM; }},
        {Layer::seccomp, "change its groups", [] { return call_works(::setgid(1)) || errno != EPERM; }},
        {Layer::seccomp, "raise its limits",
         [] {
             auto const limit = rlimit{RLIM_INFINITY, RLIM_INFINITY};
             return call_works(::setrlimit(RLIMIT_NOFILE, &limit));
         }},
        {Layer::seccomp, "make a memory file", [] { return call_works(::syscall(SYS_memfd_create, "p", 0)); }},
        {Layer::seccomp, "link files", [] { return call_works(::link("/etc/passwd", "/tmp/plexus-probe")); }},
        {Layer::seccomp, "make a symbolic link", [] { return call_works(::symlink("/etc/passwd", "/tmp/plexus-probe")); }},
        {Layer::seccomp, "remove files", [] { return call_works(::unlink("/tmp/plexus-probe")) || errno != EPERM; }},
        {Layer::seccomp, "make folders", [] { return call_works(::mkdir("/tmp/plexus-probe", 0700)); }},
        {Layer::seccomp, "read links", [] {
             auto buffer = std::array<char, 16>{};
             return call_works(::readlink("/proc/self/exe", buffer.data(), buffer.size()));
         }},
        {Layer::seccomp, "send descriptors", [] { return call_works(::sendmsg(3, nullptr, 0)) || errno != EPERM; }},
        {Layer::seccomp, "load a kernel module", [] { return call_works(::syscall(SYS_init_module, nullptr, 0, "")) || errno != EPERM; }},
    };
}

std::vector<Attempt> state_attempts(Surroundings const& surroundings)
{
    auto const model = surroundings.model_descriptor;
    return {
        {Layer::descriptors, "use a foreign descriptor", [model] { return has_foreign_descriptors(model); }},
        {Layer::no_new_privileges, "gain privileges", [] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1; }},
        {Layer::parent_death, "outlive the daemon",
         [] {
             auto signal = 0;
             return ::prctl(PR_GET_PDEATHSIG, &signal) != 0 || signal != SIGKILL;
         }},
        {Layer::limits, "dump core", [] { return !limit_is(RLIMIT_CORE, 0); }},
        {Layer::limits, "grow a file", [] { return !limit_is(RLIMIT_FSIZE, 0); }},
        {Layer::limits, "open many files", [] { return !limit_is(RLIMIT_NOFILE, 64); }},
        {Layer::seccomp, "call the kernel unfiltered",
         [] { return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER; }},
        {Layer::seccomp, "be dumped", [] { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0; }},
    };
}

std::vector<Attempt> all_attempts(Surroundings const& surroundings)
{
    auto attempts = state_attempts(surroundings);
    for (auto const& more : {file_attempts(surroundings), socket_attempts(), call_attempts()}) {
        attempts.insert(attempts.end(), more.begin(), more.end());
    }
    return attempts;
}

}  // namespace

Result<void> probe(Surroundings const& surroundings)
{
    for (auto const& attempt : all_attempts(surroundings)) {
        if (attempt.succeeds()) {
            return fail(ErrorKind::not_allowed, "the wall \"{}\" is open: the engine could {}", to_string(attempt.layer),
                        attempt.what);
        }
    }
    return {};
}

std::size_t probe_count(Surroundings const& surroundings)
{
    return all_attempts(surroundings).size();
}

Result<void> check_namespaces(Surroundings const& surroundings)
{
    struct stat status = {};
    if (::stat("/proc/self/ns/net", &status) != 0 || status.st_ino == surroundings.parent_network_namespace) {
        return fail(ErrorKind::not_allowed, "the wall \"namespaces\" is open: the engine shares the daemon's network");
    }
    return {};
}

}  // namespace plexus::sandbox
