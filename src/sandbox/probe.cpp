#include <arpa/inet.h>
#include <csignal>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/env.h"
#include "sandbox/descriptor.h"
#include "sandbox/launcher.h"
#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

using Attempts = std::vector<Attempt>;

constexpr auto highest_descriptor = 1024;
constexpr auto longest_number = 32;
constexpr std::uint16_t any_port = 7597;
constexpr dev_t null_device = 0x103;

/// The kernel looked at the call. That it failed for another reason than the filter's proves nothing of the filter.
bool passes(long result)
{
    return result >= 0 || errno != EPERM;
}

bool reads(char const* path)
{
    return Descriptor(::open(path, O_RDONLY | O_CLOEXEC)).get() >= 0;
}

bool creates(char const* path)
{
    auto const file = Descriptor(::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (file.get() >= 0) {
        ::unlink(path);
    }
    return file.get() >= 0;
}

/// A call that the kernel must not even look at.
Attempt unseen(std::string what, long (*call)())
{
    return {std::move(what), [call] { return passes(call()); }};
}

// --- What the launcher set -------------------------------------------------------------------------------------------

bool has_foreign_descriptors(std::vector<int> const& own)
{
    for (auto descriptor = Processes::channel_descriptor + 1; descriptor < highest_descriptor; ++descriptor) {
        if (std::ranges::find(own, descriptor) == own.end() && ::fcntl(descriptor, F_GETFD) >= 0) {
            return true;
        }
    }
    return false;
}

bool is_open_to_write(int descriptor)
{
    return (::fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

bool reads_and_writes(int descriptor)
{
    struct stat status = {};
    return ::fstat(descriptor, &status) == 0 && !S_ISCHR(status.st_mode);
}

bool limit_is(__rlimit_resource resource, rlim_t expected)
{
    auto limit = rlimit{};
    return ::getrlimit(resource, &limit) == 0 && limit.rlim_cur == expected && limit.rlim_max == expected;
}

bool maps(std::size_t size)
{
    auto* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                                0);
    if (memory != MAP_FAILED) {
        ::munmap(memory, size);
    }
    return memory != MAP_FAILED;
}

Attempts descriptor_attempts(Surroundings const& surroundings)
{
    auto const files = surroundings.files();
    return {{"use a foreign descriptor", [files] { return has_foreign_descriptors(files); }},
            {"read a foreign input", [] { return reads_and_writes(STDIN_FILENO); }},
            {"write into the model", [files] { return std::ranges::any_of(files, is_open_to_write); }}};
}

bool shares(std::string const& name, Surroundings const& surroundings)
{
    auto const outer = surroundings.outer_namespaces.find(name);
    auto const own = namespace_inode(name);
    return outer == surroundings.outer_namespaces.end() || own == 0 || own == outer->second;
}

bool reads_memory_of(int process)
{
    auto buffer = std::array<char, 8>{};
    auto const own = iovec{buffer.data(), buffer.size()};
    auto const other = iovec{buffer.data(), buffer.size()};
    return ::process_vm_readv(process, &own, 1, &other, 1, 0) >= 0 || errno != ESRCH;
}

Attempts process_attempts(Surroundings const& surroundings)
{
    auto const daemon = surroundings.daemon;
    return {{"see the process that started it", [] { return ::getppid() != 0; }},
            {"signal the daemon by its number",
             [daemon] { return daemon != ::getpid() && (::kill(daemon, 0) == 0 || errno == EPERM); }},
            {"take the daemon's descriptors",
             [daemon] {
                 return daemon != ::getpid() &&
                        Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0))).get() >= 0;
             }},
            {"read the memory of the daemon", [daemon] { return daemon != ::getpid() && reads_memory_of(daemon); }}};
}

bool reaches(int type)
{
    auto const socket = Descriptor(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    auto address = sockaddr_in{};
    address.sin_family = AF_INET;
    address.sin_port = htons(any_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // That nobody listens there is known to who is on the network.
    return ::connect(socket.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0 ||
           errno == ECONNREFUSED;
}

Attempts namespace_attempts(Layer layer, std::string const& name, Surroundings const& surroundings)
{
    auto attempts = Attempts{{fmt::format("use the daemon's {} namespace", name),
                              [name, &surroundings] { return shares(name, surroundings); }}};
    auto more = Attempts{};
    if (layer == Layer::process_namespace) {
        more = process_attempts(surroundings);
    } else if (layer == Layer::network_namespace) {
        more = {{"reach the daemon's ports over TCP", [] { return reaches(SOCK_STREAM); }},
                {"reach the device's ports over UDP", [] { return reaches(SOCK_DGRAM); }}};
    } else if (layer == Layer::user_namespace) {
        more = {{"become root of the device", [] { return ::setuid(0) == 0; }}};
    }
    attempts.insert(attempts.end(), more.begin(), more.end());
    return attempts;
}

std::string first_line(std::string const& path)
{
    auto const file = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    auto text = std::array<char, longest_number>{};
    auto const count = ::read(file.get(), text.data(), text.size());
    auto const line = std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return line.substr(0, line.find('\n'));
}

/// Of a control group: unlimited, or not to be seen.
bool is_unlimited(std::string const& file)
{
    auto const value = first_line(file);
    return value.empty() || value == "max";
}

Attempts group_attempts(Surroundings const& surroundings)
{
    auto const group = surroundings.group;
    return {
        {"live outside of a control group",
         [group] { return group.empty() || first_line(group + "/cgroup.procs") != std::to_string(::getpid()); }},
        {"take the memory of the device", [group] { return group.empty() || is_unlimited(group + "/memory.max"); }},
        {"take the processes of the device", [group] { return group.empty() || is_unlimited(group + "/pids.max"); }}};
}

Attempts limit_attempts(Surroundings const& surroundings)
{
    auto const memory = surroundings.memory_limit_bytes;
    return {
        {"dump core", [] { return !limit_is(RLIMIT_CORE, 0); }},
        {"grow a file", [] { return !limit_is(RLIMIT_FSIZE, 0); }},
        {"open many files", [] { return !limit_is(RLIMIT_NOFILE, descriptor_limit); }},
        {"start threads without end", [] { return !limit_is(RLIMIT_NPROC, thread_limit); }},
        {"lock memory", [] { return !limit_is(RLIMIT_MEMLOCK, 0); }},
        {"take memory without end", [memory] { return memory != 0 && !limit_is(RLIMIT_DATA, memory); }},
        {"take twice its memory", [memory] { return memory != 0 && maps(2 * memory); }},
    };
}

// --- What the program raises itself ----------------------------------------------------------------------------------

bool is_its_own_parent_folder()
{
    struct stat root = {};
    struct stat above = {};
    return ::stat("/", &root) == 0 && ::stat("/..", &above) == 0 && root.st_dev == above.st_dev &&
           root.st_ino == above.st_ino;
}

/// With render nodes in it, the root has the folders above them, which only Landlock closes.
bool leads_to_nodes(std::string_view path, Doors const& doors)
{
    return has(doors, Door::render_nodes) && std::string_view(render_folder).starts_with(path);
}

Attempts root_attempts(Surroundings const& surroundings, Doors const& doors)
{
    auto attempts = Attempts{};
    auto paths = surroundings.forbidden_paths;
    for (auto const* path : {"/etc/shadow",
                             "/etc/passwd",
                             "/etc/hostname",
                             "/proc/1/environ",
                             "/proc/self/environ",
                             "/proc/self/maps",
                             "/proc/self/mem",
                             "/proc/self/root",
                             "/proc/self/cwd",
                             "/proc/self/exe",
                             "/proc/self/fd/0",
                             "/proc/self/fd/3",
                             "/proc/self/fd/3/..",
                             "/proc/sys",
                             "/sys",
                             "/dev",
                             "/dev/null",
                             "/dev/mem",
                             "/dev/kvm",
                             "/dev/dri",
                             "/bin/sh",
                             "/usr",
                             "/lib",
                             "/tmp",
                             "/run",
                             "/var",
                             "/root",
                             "/home",
                             "/../etc/passwd",
                             "../../../../etc/passwd"}) {
        paths.emplace_back(path);
    }
    if (has(doors, Door::render_nodes)) {
        paths.emplace_back("/dev/dri/card0");
    }
    for (auto const& path : paths) {
        if (!leads_to_nodes(path, doors)) {
            attempts.push_back({"read " + path, [path] { return reads(path.c_str()); }});
        }
    }
    for (auto const* path : {"/plexus-probe", "/proc/plexus-probe", "/proc/self/fd/plexus-probe", "/tmp/plexus-probe",
                             "/dev/shm/plexus-probe", "/var/tmp/plexus-probe", "plexus-probe"}) {
        attempts.push_back({std::string("write ") + path, [path] { return creates(path); }});
    }
    attempts.push_back(
        {"make a folder", [] { return ::mkdir("/plexus-probe", 0700) == 0 && ::rmdir("/plexus-probe") == 0; }});
    attempts.push_back({"make a link out", [] {
                            return ::symlink("/etc/passwd", "/plexus-probe") == 0 && ::unlink("/plexus-probe") == 0;
                        }});
    attempts.push_back({"leave its root", [] { return !is_its_own_parent_folder(); }});
    attempts.push_back({"write into the model", [files = surroundings.files()] {
                            return std::ranges::any_of(files, [](int file) {
                                auto const path = fmt::format("/proc/self/fd/{}", file);
                                return Descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC)).get() >= 0;
                            });
                        }});
    return attempts;
}

bool has_capabilities()
{
    auto header = __user_cap_header_struct{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    auto held = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>{};
    auto const failed = ::syscall(SYS_capget, &header, held.data()) != 0;
    return failed || std::ranges::any_of(held, [](auto const& part) {
               return (part.effective | part.permitted | part.inheritable) != 0;
           });
}

bool makes_raw_socket(int family)
{
    return Descriptor(::socket(family, SOCK_RAW | SOCK_CLOEXEC, 0)).get() >= 0;
}

Attempts capability_attempts()
{
    return {
        {"use capabilities", has_capabilities},
        {"mount a file system", [] { return ::mount("none", "/", "tmpfs", 0, nullptr) == 0; }},
        {"take the root away", [] { return ::umount2("/", MNT_DETACH) == 0; }},
        {"have another root", [] { return ::chroot("/") == 0; }},
        {"make a mount namespace", [] { return ::unshare(CLONE_NEWNS) == 0; }},
        {"make a device", [] { return ::mknod("/plexus-probe", S_IFCHR | 0600, null_device) == 0; }},
        {"name the host", [] { return ::sethostname("plexus", 6) == 0; }},
        {"make a packet socket", [] { return makes_raw_socket(AF_PACKET); }},
        {"make a raw socket", [] { return makes_raw_socket(AF_INET); }},
        {"raise its limits",
         [] {
             auto const limit = rlimit{RLIM_INFINITY, RLIM_INFINITY};
             return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
         }},
    };
}

bool binds_tcp()
{
    auto const socket = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = sockaddr_in{};
    address.sin_family = AF_INET;
    return ::bind(socket.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0;
}

bool connects_tcp()
{
    auto const socket = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = sockaddr_in{};
    address.sin_family = AF_INET;
    address.sin_port = htons(any_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(socket.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0 || errno != EACCES;
}

Attempts landlock_attempts(Doors const& doors)
{
    auto attempts = Attempts{
        {"look into the root folder", [] { return reads("/"); }},
        {"look into /proc", [] { return reads("/proc"); }},
        {"look where the model lies", [] { return reads("/proc/self/fd"); }},
    };
    if (has(doors, Door::render_nodes)) {
        attempts.push_back({"look into /dev", [] { return reads("/dev"); }});
        attempts.push_back({"look into /dev/dri", [] { return reads(render_folder); }});
    }
    if (landlock_version() >= 4) {
        attempts.push_back({"bind a TCP port", binds_tcp});
        attempts.push_back({"connect over TCP", connects_tcp});
    }
    return attempts;
}

// --- What seccomp must keep from the kernel --------------------------------------------------------------------------

bool makes_socket(int family, int type)
{
    auto const descriptor = ::socket(family, type | SOCK_CLOEXEC, 0);
    return passes(Descriptor(descriptor).get());
}

Attempts socket_attempts()
{
    auto attempts = Attempts{};
    for (auto const& [family, name] :
         {std::pair(AF_INET, "IPv4"), std::pair(AF_INET6, "IPv6"), std::pair(AF_UNIX, "Unix"),
          std::pair(AF_NETLINK, "netlink"), std::pair(AF_PACKET, "packet"), std::pair(AF_VSOCK, "vsock"),
          std::pair(AF_ALG, "crypto"), std::pair(AF_BLUETOOTH, "Bluetooth")}) {
        for (auto const type : std::array<int, 3>{SOCK_STREAM, SOCK_DGRAM, SOCK_RAW}) {
            attempts.push_back({fmt::format("make a {} socket of type {}", name, type),
                                [family, type] { return makes_socket(family, type); }});
        }
    }
    attempts.push_back(unseen("connect", [] { return long{::connect(3, nullptr, 0)}; }));
    attempts.push_back(unseen("bind", [] { return long{::bind(3, nullptr, 0)}; }));
    attempts.push_back(unseen("listen", [] { return long{::listen(3, 1)}; }));
    attempts.push_back(unseen("accept", [] { return long{::accept(3, nullptr, nullptr)}; }));
    attempts.push_back(unseen("send descriptors", [] { return long{::sendmsg(3, nullptr, 0)}; }));
    attempts.push_back(unseen("receive descriptors", [] { return long{::recvmsg(3, nullptr, 0)}; }));
    attempts.push_back(
        unseen("make a socket pair", [] { return long{::socketpair(AF_UNIX, SOCK_STREAM, 0, nullptr)}; }));
    return attempts;
}

bool forks()
{
    constexpr auto many = 64;
    for (auto round = 0; round < many; ++round) {
        auto const child = ::fork();
        if (child == 0) {
            ::_exit(0);
        }
        if (child > 0) {
            ::waitpid(child, nullptr, 0);
        }
        if (passes(child)) {
            return true;
        }
    }
    return false;
}

long executes()
{
    // Replaces this process by a shell that ends at once if nothing forbids it.
    char shell[] = "/bin/sh";
    char flag[] = "-c";
    char command[] = "exit 97";
    char* arguments[] = {shell, flag, command, nullptr};
    char* environment[] = {nullptr};
    return ::execve(shell, arguments, environment);
}

Attempts process_call_attempts()
{
    return {
        {"fork", forks},
        unseen("execute a shell", executes),
        unseen("execute what is open", [] { return ::syscall(SYS_execveat, 4, "", nullptr, nullptr, AT_EMPTY_PATH); }),
        unseen("make a process in a user namespace",
               [] { return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD | CLONE_THREAD, 0, 0, 0, 0); }),
        unseen("trace the daemon", [] { return ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr); }),
        unseen("be traced", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }),
        unseen("signal the daemon", [] { return long{::kill(::getppid(), 0)}; }),
        unseen("signal everyone", [] { return long{::kill(-1, 0)}; }),
        unseen("signal another thread group", [] { return ::syscall(SYS_tgkill, ::getpid() + 1, ::getpid() + 1, 0); }),
        unseen("read the daemon's memory",
               [] {
                   auto part = iovec{nullptr, 0};
                   return long{::process_vm_readv(::getppid(), &part, 1, &part, 1, 0)};
               }),
        unseen("write the daemon's memory",
               [] {
                   auto part = iovec{nullptr, 0};
                   return long{::process_vm_writev(::getppid(), &part, 1, &part, 1, 0)};
               }),
        unseen("open a process descriptor", [] { return ::syscall(SYS_pidfd_open, ::getpid(), 0); }),
        unseen("take a descriptor of a process", [] { return ::syscall(SYS_pidfd_getfd, 3, 3, 0); }),
        unseen("make a user namespace", [] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }),
        unseen("enter a namespace", [] { return ::syscall(SYS_setns, 3, 0); }),
        unseen("change its user", [] { return long{::setuid(1)}; }),
        unseen("change its groups", [] { return long{::setgid(1)}; }),
        unseen("set capabilities", [] { return ::syscall(SYS_capset, nullptr, nullptr); }),
        unseen("set a limit",
               [] {
                   auto const limit = rlimit{0, 0};
                   return long{::setrlimit(RLIMIT_CORE, &limit)};
               }),
        unseen("become dumpable", [] { return long{::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)}; }),
        unseen("outlive the daemon", [] { return long{::prctl(PR_SET_PDEATHSIG, 0)}; }),
        unseen("have another personality", [] { return ::syscall(SYS_personality, 0xffffffff); }),
    };
}

Attempts memory_call_attempts(Doors const& doors)
{
    auto const makes_code = has(doors, Door::new_code);
    return {
        unseen("map new code",
               [] {
                   auto* const code = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                   return code == MAP_FAILED ? -1L : 0L;
               }),
        makes_code ? unseen("make memory code that can be written",
                            [] { return long{::mprotect(nullptr, 0, PROT_READ | PROT_WRITE | PROT_EXEC)}; })
                   : unseen("make memory code", [] { return long{::mprotect(nullptr, 0, PROT_READ | PROT_EXEC)}; }),
        unseen("make a memory file", [] { return ::syscall(SYS_memfd_create, "p", 0); }),
        unseen("make secret memory", [] { return ::syscall(SYS_memfd_secret, 0); }),
        unseen("share memory", [] { return ::syscall(SYS_shmget, 0, 4096, 0); }),
        unseen("use message queues", [] { return ::syscall(SYS_msgget, 0, 0); }),
        unseen("watch page faults", [] { return ::syscall(SYS_userfaultfd, 0); }),
        unseen("advise other processes", [] { return ::syscall(SYS_process_madvise, 3, nullptr, 0, 0, 0); }),
    };
}

Attempts file_call_attempts()
{
    return {
        unseen("create a file", [] { return long{::open("/plexus-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)}; }),
        unseen("write a file", [] { return long{::open("/proc/self/fd/4", O_WRONLY | O_CLOEXEC)}; }),
        unseen("make a nameless file", [] { return long{::open("/", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600)}; }),
        unseen("open by another call", [] { return ::syscall(SYS_openat2, AT_FDCWD, "/", nullptr, 0); }),
        unseen("open by handle", [] { return ::syscall(SYS_open_by_handle_at, 3, nullptr, 0); }),
        unseen("link files", [] { return long{::link("/etc/passwd", "/tmp/plexus-probe")}; }),
        unseen("make a symbolic link", [] { return long{::symlink("/etc/passwd", "/tmp/plexus-probe")}; }),
        unseen("rename files", [] { return long{::rename("/etc/passwd", "/tmp/plexus-probe")}; }),
        unseen("remove files", [] { return long{::unlink("/tmp/plexus-probe")}; }),
        unseen("make folders", [] { return long{::mkdir("/tmp/plexus-probe", 0700)}; }),
        unseen("make devices", [] { return long{::mknod("/plexus-probe", S_IFCHR | 0600, null_device)}; }),
        unseen("change modes", [] { return long{::chmod("/", 0777)}; }),
        unseen("change the folder", [] { return long{::chdir("/")}; }),
        unseen("list a folder", [] { return ::syscall(SYS_getdents64, 3, nullptr, 0); }),
        unseen("read links",
               [] {
                   auto buffer = std::array<char, 16>{};
                   return long{::readlink("/proc/self/exe", buffer.data(), buffer.size())};
               }),
        unseen("control a device", [] { return long{::ioctl(3, FIONREAD, nullptr)}; }),
        unseen("type into a terminal", [] { return long{::ioctl(0, TIOCSTI, "x")}; }),
        unseen("lock files", [] { return long{::fcntl(3, F_SETLEASE, F_RDLCK)}; }),
        unseen("give signals to others", [] { return long{::fcntl(3, F_SETOWN, 1)}; }),
        unseen("watch files", [] { return ::syscall(SYS_inotify_init1, 0); }),
    };
}

Attempts system_call_attempts()
{
    return {
        unseen("set up io_uring",
               [] {
                   auto parameters = io_uring_params{};
                   return ::syscall(SYS_io_uring_setup, 1, &parameters);
               }),
        unseen("enter io_uring", [] { return ::syscall(SYS_io_uring_enter, 3, 0, 0, 0, nullptr, 0); }),
        unseen("load a BPF program", [] { return ::syscall(SYS_bpf, 0, nullptr, 0); }),
        unseen("use key rings", [] { return ::syscall(SYS_keyctl, 0, -3, 0); }),
        unseen("add a key", [] { return ::syscall(SYS_add_key, "user", "p", "x", 1, -3); }),
        unseen("mount", [] { return long{::mount("none", "/", "tmpfs", 0, nullptr)}; }),
        unseen("make a mount", [] { return ::syscall(SYS_fsopen, "tmpfs", 0); }),
        unseen("move a mount", [] { return ::syscall(SYS_move_mount, 3, "", 3, "", 0); }),
        unseen("change the root", [] { return long{::chroot("/")}; }),
        unseen("pivot the root", [] { return ::syscall(SYS_pivot_root, "/", "/"); }),
        unseen("open performance events",
               [] {
                   auto attributes = perf_event_attr{};
                   return ::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
               }),
        unseen("load a kernel module", [] { return ::syscall(SYS_init_module, nullptr, 0, ""); }),
        unseen("load another kernel", [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, ~0UL); }),
        unseen("read the kernel's log", [] { return ::syscall(SYS_syslog, 3, nullptr, 0); }),
        unseen("set the clock", [] { return ::syscall(SYS_clock_settime, 0, nullptr); }),
        unseen("make Landlock rules", [] { return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 0); }),
        {"call the kernel unfiltered", [] { return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER; }},
    };
}

Attempts seccomp_attempts(Doors const& doors)
{
    auto attempts = Attempts{};
    for (auto const& more : {process_call_attempts(), memory_call_attempts(doors), file_call_attempts(),
                             socket_attempts(), system_call_attempts()}) {
        attempts.insert(attempts.end(), more.begin(), more.end());
    }
    return attempts;
}

bool outlives_the_daemon()
{
    auto signal = 0;
    return ::prctl(PR_GET_PDEATHSIG, &signal) != 0 || signal != SIGKILL;
}

}  // namespace

std::uint64_t namespace_inode(std::string_view name)
{
    struct stat status = {};
    return ::stat(fmt::format("/proc/self/ns/{}", name).c_str(), &status) == 0 ? status.st_ino : 0;
}

std::vector<Attempt> attempts_at(Layer layer, Surroundings const& surroundings, Doors const& doors)
{
    switch (layer) {
    case Layer::descriptors: return descriptor_attempts(surroundings);
    case Layer::group: return group_attempts(surroundings);
    case Layer::no_new_privileges:
        return {{"gain privileges", [] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1; }}};
    case Layer::parent_death: return {{"outlive the daemon", outlives_the_daemon}};
    case Layer::limits: return limit_attempts(surroundings);
    case Layer::root: return root_attempts(surroundings, doors);
    case Layer::capabilities: return capability_attempts();
    case Layer::undumpable: return {{"be dumped", [] { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0; }}};
    case Layer::landlock: return landlock_attempts(doors);
    case Layer::seccomp: return seccomp_attempts(doors);
    default: break;
    }
    for (auto const& known : namespace_names) {
        if (known.layer == layer) {
            return namespace_attempts(layer, std::string(known.name), surroundings);
        }
    }
    return {};
}

}  // namespace plexus::sandbox
