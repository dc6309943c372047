#!/usr/bin/env python3
"""Proves on the built libraries that core modules touch the world through Env alone.

    tools/check_symbols.py BUILD_FOLDER

Every object of src/ is asked for the outside functions it calls itself: clocks, randomness, sockets, files, processes,
threads and locks are for the objects in PLATFORM only. A simulated mesh is repeatable because of this.
"""
import pathlib
import re
import subprocess
import sys

FORBIDDEN = re.compile("|".join((
    r"std::chrono::_V2::(steady|system)_clock::now",
    r"(clock_gettime|clock_nanosleep|nanosleep|usleep|sleep|gettimeofday|time|localtime|localtime_r|gmtime_r|mktime)$",
    r"std::random_device|(getrandom|getentropy|arc4random\w*|rand|rand_r|srand|random|drand48)$|randombytes\w*|RAND_\w+$",
    r"(socket|socketpair|connect|bind|listen|accept4?|send|sendto|sendmsg|recv|recvfrom|recvmsg|getaddrinfo|setsockopt|poll"
    r"|ppoll|select|epoll_\w+|eventfd|timerfd_\w+|getifaddrs|if_nametoindex)$",
    r"(open|open64|openat|openat64|creat|fopen|fopen64|read|pread|pread64|write|pwrite|pwrite64|readv|writev|rename|unlink|link"
    r"|symlink|mkdir|rmdir|opendir|fsync|fdatasync|fallocate|truncate|ftruncate|stat|lstat|fstat|statvfs|mmap|flock|fcntl)$",
    r"std::basic_(if|of|f)stream|std::basic_filebuf|std::filesystem::(?!path\b|__cxx11::path\b|filesystem_error)\w+",
    r"(fork|vfork|execve|execv|execvp|posix_spawnp?|waitpid|waitid|kill|ptrace|system|popen|syscall|prctl|sigaction)$",
    r"std::thread::|std::condition_variable::|pthread_(create|mutex_lock|cond_\w+|rwlock_\w+)$|std::__atomic_futex",
    r"(getenv|secure_getenv|setenv|gethostname|sysconf|getpid)$",
)))

PLATFORM = {
    "base": {"asio", "real_env", "real_disk", "real_group", "real_http", "real_network", "paths"},
    "node": {"platform"},
    "sandbox": None,  # all of it
}


def calls(library: pathlib.Path):
    """(object, function) for every function that an object of the library needs from elsewhere."""
    text = subprocess.run(["nm", "--demangle", "--undefined-only", str(library)], check=True, capture_output=True,
                          text=True).stdout
    current = ""
    for line in text.splitlines():
        if line.endswith(":"):
            current = line[:-1].removesuffix(".o").removesuffix(".cpp")
        elif line.strip():
            yield current, line.split(maxsplit=1)[1]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    libraries = sorted(pathlib.Path(sys.argv[1]).glob("src/*/libplexus_*.a"))
    if not libraries:
        sys.exit(f"check_symbols: {sys.argv[1]} holds no libraries (tools/build)")
    problems = []
    objects = set()
    for library in libraries:
        module = library.stem.removeprefix("libplexus_")
        allowed = PLATFORM.get(module, set())
        for source, function in calls(library):
            objects.add((module, source))
            if allowed is not None and source not in allowed and FORBIDDEN.match(function):
                problems.append(f"src/{module}/{source}.cpp calls {function}")
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"check_symbols: {len(problems)} calls past Env (base/env.h)")
    print(f"check_symbols: {len(objects)} objects of {len(libraries)} libraries call the outside through Env alone")


if __name__ == "__main__":
    main()
