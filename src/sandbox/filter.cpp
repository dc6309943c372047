#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

/// What computing needs: memory, threads, time, reading and writing what is open. Seen in use by the engine, by the
/// C and C++ libraries below it, or by the sanitizers.
constexpr auto allowed_calls = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    SCMP_SYS(fadvise64),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sysinfo),
    SCMP_SYS(seccomp),
};

/// Tried by careful programs that go on without them.
constexpr auto absent_calls = {SCMP_SYS(clone3), SCMP_SYS(statx), SCMP_SYS(mbind), SCMP_SYS(get_mempolicy)};

/// What a thread shares with its process; a process does not.
constexpr scmp_datum_t thread_flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
constexpr scmp_datum_t namespace_flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                         CLONE_NEWPID | CLONE_NEWNET;

constexpr scmp_datum_t changing = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
constexpr scmp_datum_t kind_of_control = _IOC_TYPEMASK << _IOC_TYPESHIFT;
constexpr scmp_datum_t graphics = 'd' << _IOC_TYPESHIFT;  // the control calls of DRM

/// A condition on one argument of a system call.
scmp_arg_cmp argument(unsigned index, scmp_compare compare, scmp_datum_t left, scmp_datum_t right = 0)
{
    return {index, compare, left, right};
}

class Filter {
public:
    explicit Filter(std::uint32_t otherwise) : context_(seccomp_init(otherwise)) {}
    Filter(Filter const&) = delete;
    Filter& operator=(Filter const&) = delete;
    ~Filter() { seccomp_release(context_); }

    template <typename... Comparisons>
    void allow(int call, Comparisons... comparisons)
    {
        add(SCMP_ACT_ALLOW, call, comparisons...);
    }

    template <typename... Comparisons>
    void add(std::uint32_t action, int call, Comparisons... comparisons)
    {
        failed_ = failed_ || seccomp_rule_add(context_, action, call, static_cast<unsigned>(sizeof...(comparisons)),
                                              comparisons...) != 0;
    }

    Result<void> load()
    {
        // No-new-privileges is a wall of its own, raised before.
        failed_ = failed_ || seccomp_attr_set(context_, SCMP_FLTATR_CTL_NNP, 0) != 0 ||
                  seccomp_attr_set(context_, SCMP_FLTATR_CTL_TSYNC, 1) != 0 || seccomp_load(context_) != 0;
        return failed_ ? Result<void>(fail(ErrorKind::not_allowed, "the filter could not be loaded")) : Result<void>{};
    }

private:
    scmp_filter_ctx context_;
    bool failed_ = false;
};

/// Calls of which only some forms are allowed.
void allow_some_forms(Filter& filter)
{
    // Opening is left to Landlock until `seal`; reading only, of what is there.
    filter.allow(SCMP_SYS(openat), argument(2, SCMP_CMP_MASKED_EQ, changing, O_RDONLY));
    // Threads, but no processes.
    filter.allow(SCMP_SYS(clone), argument(0, SCMP_CMP_MASKED_EQ, thread_flags | namespace_flags, thread_flags));
    // No new code.
    filter.allow(SCMP_SYS(mmap), argument(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    filter.allow(SCMP_SYS(mprotect), argument(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    for (auto const option : {PR_SET_NAME, PR_GET_SECCOMP}) {
        filter.allow(SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(option)));
    }
    for (auto const command : {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC}) {
        filter.allow(SCMP_SYS(fcntl), argument(1, SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
    }
    // To read its own limits.
    filter.allow(SCMP_SYS(prlimit64), argument(0, SCMP_CMP_EQ, 0), argument(2, SCMP_CMP_EQ, 0));
    // What it took itself, for the daemon's account of memory.
    filter.allow(SCMP_SYS(getrusage), argument(0, SCMP_CMP_EQ, RUSAGE_SELF));
    // abort() of our own process.
    filter.allow(SCMP_SYS(tgkill), argument(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));
}

/// What the driver of a GPU needs beside.
void allow_doors(Filter& filter, Doors const& doors)
{
    if (has(doors, Door::render_nodes)) {
        // To read and to write, which Landlock and the root allow for the nodes alone; their control calls, by their kind.
        filter.allow(SCMP_SYS(openat), argument(2, SCMP_CMP_MASKED_EQ, changing, O_RDWR));
        filter.allow(SCMP_SYS(ioctl), argument(1, SCMP_CMP_MASKED_EQ, kind_of_control, graphics));
    }
    if (has(doors, Door::new_code)) {
        filter.allow(SCMP_SYS(mprotect), argument(2, SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_EXEC));
    }
}

}  // namespace

Result<void> raise_seccomp(Surroundings const&, Doors const& doors)
{
    auto filter = Filter(SCMP_ACT_ERRNO(EPERM));
    for (auto const call : allowed_calls) {
        filter.allow(call);
    }
    for (auto const call : absent_calls) {
        filter.add(SCMP_ACT_ERRNO(ENOSYS), call);
    }
    allow_some_forms(filter);
    allow_doors(filter, doors);
    return filter.load();
}

Result<void> seal()
{
    auto filter = Filter(SCMP_ACT_ALLOW);
    for (auto const call : {SCMP_SYS(openat), SCMP_SYS(seccomp)}) {
        filter.add(SCMP_ACT_ERRNO(EPERM), call);
    }
    if (auto loaded = filter.load(); !loaded) {
        return loaded;
    }
    if (::open("/", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM) {
        return fail(ErrorKind::not_allowed, "the wall \"seccomp\" is open: the engine could go on opening files");
    }
    return {};
}

}  // namespace plexus::sandbox
