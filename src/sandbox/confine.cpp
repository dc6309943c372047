#include "sandbox/confine.h"

#include <csignal>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <initializer_list>

namespace plexus::sandbox {

namespace {

// Older headers lack what newer kernels have; the kernel is asked which it knows.
constexpr std::uint64_t landlock_filesystem_v1 = (1ULL << 13) - 1;
constexpr std::uint64_t landlock_refer = 1ULL << 13;
constexpr std::uint64_t landlock_truncate = 1ULL << 14;
constexpr std::uint64_t landlock_ioctl = 1ULL << 15;
constexpr std::uint64_t landlock_read_file = 1ULL << 2;
constexpr std::uint64_t landlock_tcp = 3;
constexpr std::uint64_t landlock_scopes = 3;

struct RulesetAttributes {
    std::uint64_t filesystem = 0;
    std::uint64_t network = 0;
    std::uint64_t scoped = 0;
};

struct __attribute__((packed)) PathRule {
    std::uint64_t allowed;
    std::int32_t parent;
};

Result<void> raise_landlock(int model_descriptor)
{
    auto const version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        return fail(ErrorKind::not_allowed, "landlock: this kernel does not have it");
    }
    auto attributes = RulesetAttributes{.filesystem = landlock_filesystem_v1};
    attributes.filesystem |= version >= 2 ? landlock_refer : 0;
    attributes.filesystem |= version >= 3 ? landlock_truncate : 0;
    attributes.filesystem |= version >= 5 ? landlock_ioctl : 0;
    attributes.network = version >= 4 ? landlock_tcp : 0;
    attributes.scoped = version >= 6 ? landlock_scopes : 0;
    auto const size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    auto const ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0));
    if (ruleset < 0) {
        return fail(ErrorKind::not_allowed, "landlock: {}", std::strerror(errno));
    }
    auto good = true;
    if (model_descriptor >= 0) {
        auto const rule = PathRule{.allowed = landlock_read_file, .parent = model_descriptor};
        good = ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    }
    good = good && ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    auto const reason = errno;
    ::close(ruleset);
    return good ? Result<void>{} : Result<void>(fail(ErrorKind::not_allowed, "landlock: {}", std::strerror(reason)));
}

/// What computing needs: memory, threads, time, reading and writing what is open.
constexpr auto allowed_calls = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(preadv),
    SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(fadvise64),
    SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mprotect), SCMP_SYS(brk),
    SCMP_SYS(mincore), SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(getcpu),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(getrandom), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(restart_syscall), SCMP_SYS(sysinfo),
    SCMP_SYS(uname), SCMP_SYS(getrusage), SCMP_SYS(seccomp),
};

/// Tried by careful programs that go on without them.
constexpr auto absent_calls = {SCMP_SYS(clone3), SCMP_SYS(statx), SCMP_SYS(mbind), SCMP_SYS(get_mempolicy)};

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

    void allow(int call) { add(SCMP_ACT_ALLOW, call); }
    template <typename... Comparisons>
    void add(std::uint32_t action, int call, Comparisons... comparisons)
    {
        failed_ = failed_ ||
                  seccomp_rule_add(context_, action, call, static_cast<unsigned>(sizeof...(comparisons)), comparisons...) != 0;
    }

    Result<void> load()
    {
        // No-new-privileges is a wall of its own, raised before.
        failed_ = failed_ || seccomp_attr_set(context_, SCMP_FLTATR_CTL_NNP, 0) != 0 ||
                  seccomp_attr_set(context_, SCMP_FLTATR_CTL_TSYNC, 1) != 0 || seccomp_load(context_) != 0;
        return failed_ ? Result<void>(fail(ErrorKind::not_allowed, "seccomp: the filter could not be loaded"))
                       : Result<void>{};
    }

private:
    scmp_filter_ctx context_;
    bool failed_ = false;
};

Result<void> raise_seccomp()
{
    auto filter = Filter(SCMP_ACT_ERRNO(EPERM));
    for (auto call : allowed_calls) {
        filter.allow(call);
    }
    for (auto call : absent_calls) {
        filter.add(SCMP_ACT_ERRNO(ENOSYS), call);
    }
    // Opening is left to Landlock until `seal`; reading only, of what is there.
    constexpr auto changing = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(openat), argument(2, SCMP_CMP_MASKED_EQ, changing, O_RDONLY));
    // Threads, but no processes.
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), argument(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, PR_SET_NAME));
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, PR_GET_SECCOMP));
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, PR_GET_NO_NEW_PRIVS));
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, PR_GET_PDEATHSIG));
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, PR_GET_DUMPABLE));
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), argument(2, SCMP_CMP_EQ, 0));
    // abort() of our own process.
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), argument(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));
    return filter.load();
}

}  // namespace

Result<void> confine(Surroundings const& surroundings)
{
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return fail(ErrorKind::not_allowed, "the wall \"no-new-privileges\" is open");
    }
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (surroundings.left_out != Layer::landlock) {
        if (auto raised = raise_landlock(surroundings.model_descriptor); !raised) {
            return raised;
        }
    }
    if (surroundings.left_out != Layer::seccomp) {
        return raise_seccomp();
    }
    return {};
}

Result<void> seal()
{
    auto filter = Filter(SCMP_ACT_ALLOW);
    for (auto call : {SCMP_SYS(openat), SCMP_SYS(seccomp)}) {
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
