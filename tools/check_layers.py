#!/usr/bin/env python3
"""Checks every include of src/ and apps/ against what CMake was told.

- A module includes its own headers and those of the modules in its DEPENDS line; a program those of its MODULES line.
- An outside library is included only where EXTERNAL names it, and, save for Asio, fmt and Boost.JSON, never in a header.
- Operating system, threads, locks, clocks of the C library and randomness are included only where PLATFORM lists it.
- doctest is for *_test and *_testing files.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
CALL = re.compile(r"^(plexus_module|plexus_program)\(([^)]*)\)", re.MULTILINE)
WORDS = ("LAYER", "DEPENDS", "EXTERNAL", "SOURCES", "MODULES")

LIBRARIES = {
    "asio": r"boost/(asio|system)/|boost/(asio|system)\.hpp",
    "json": r"boost/json",
    "beast": r"boost/beast",
    "fmt": r"fmt/",
    "spdlog": r"spdlog/",
    "openssl": r"openssl/",
    "sodium": r"sodium",
    "curl": r"curl/",
    "seccomp": r"seccomp\.h$",
    "qrencode": r"qrencode\.h$",
    "edit": r"(histedit|editline)",
    "cli11": r"CLI/",
    "tomlplusplus": r"toml\+\+/",
    "doctest": r"doctest/",
}
ALWAYS = {"asio", "fmt"}
IN_HEADERS = ALWAYS | {"json"}

# Headers that reach past Env: the operating system, other threads, randomness.
SYSTEM = re.compile(
    r"^(sys/|linux/|net/|netinet/|arpa/|unistd\.h|fcntl\.h|poll\.h|sched\.h|spawn\.h|signal\.h|csignal|pthread\.h|malloc\.h"
    r"|ifaddrs\.h|dirent\.h|time\.h|ctime|random|thread|mutex|shared_mutex|atomic|condition_variable|future|semaphore"
    r"|fstream|cstdio|stdio\.h|stdlib\.h)")
PLATFORM = {
    "src/base/real_*": "the real clock, network, disk, HTTP, randomness",
    "src/base/log.cpp": "writes to standard error",
    "src/base/paths.cpp": "reads the environment",
    "src/base/result.cpp": "prints a broken assertion and ends",
    "src/sandbox/*": "makes and confines processes",
    "src/node/platform.*": "host name, cores, lock file, service manager",
}


def calls(file: pathlib.Path):
    """Each plexus_module and plexus_program line as (name, {WORD: [values]})."""
    text = re.sub(r"#[^\n]*", "", file.read_text())
    for _, inside in CALL.findall(text):
        name, *tokens = inside.split()
        values = {word: [] for word in WORDS}
        current = None
        for token in tokens:
            if token in WORDS:
                current = token
            elif current:
                values[current].append(token)
        yield name, values


def is_test(file: pathlib.Path) -> bool:
    return re.search(r"_test(ing)?\.(cpp|h)$", file.name) is not None


def is_platform(file: pathlib.Path) -> bool:
    return any(file.relative_to(ROOT).match(pattern) for pattern in PLATFORM)


class Checker:
    def __init__(self) -> None:
        self.problems = []
        self.modules = {name: values for folder in (ROOT / "src").iterdir() if (folder / "CMakeLists.txt").exists()
                        for name, values in calls(folder / "CMakeLists.txt")}
        self.files = 0

    def complain(self, file: pathlib.Path, text: str, include: str) -> None:
        line = next((number for number, content in enumerate(file.read_text().splitlines(), 1) if include in content), 1)
        self.problems.append(f"{file.relative_to(ROOT)}:{line}: {text}")

    def check(self, file: pathlib.Path, owner: str, modules: set, libraries: set, may_touch_system: bool) -> None:
        self.files += 1
        for _, include in INCLUDE.findall(file.read_text()):
            first = include.split("/")[0]
            if "/" in include and first in self.modules and first not in modules:
                self.complain(file, f"{owner} includes {include}, but does not name the module {first}", include)
            for library, pattern in LIBRARIES.items():
                if re.match(pattern, include):
                    self.check_library(file, owner, library, libraries, include)
            if SYSTEM.match(include) and not may_touch_system:
                self.complain(file, f"{owner} includes <{include}>; only Env, sandbox and node/platform may", include)

    def check_library(self, file: pathlib.Path, owner: str, library: str, libraries: set, include: str) -> None:
        if library == "doctest":
            if not is_test(file):
                self.complain(file, f"{owner} includes {include} outside its tests", include)
        elif library not in libraries:
            self.complain(file, f"{owner} includes {include}, but its EXTERNAL does not name {library}", include)
        elif file.suffix == ".h" and library not in IN_HEADERS and file.is_relative_to(ROOT / "src"):
            self.complain(file, f"{owner} shows {library} in a header", include)

    def run(self) -> None:
        for name, values in self.modules.items():
            libraries = ALWAYS | set(values["EXTERNAL"])
            for file in sorted((ROOT / "src" / name).iterdir()):
                if file.suffix in (".h", ".cpp"):
                    may = is_platform(file) or is_test(file)
                    self.check(file, name, {name, *values["DEPENDS"]}, libraries, may)
        for cmake in sorted((ROOT / "apps").rglob("CMakeLists.txt")):
            for name, values in calls(cmake):
                self.check_program(cmake.parent, name, values)

    def check_program(self, folder: pathlib.Path, name: str, values: dict) -> None:
        modules = {"base", *values["MODULES"]}
        for source in values["SOURCES"]:
            file = folder / source
            if file.exists():
                self.check(file, name, modules, ALWAYS | set(values["EXTERNAL"]), True)


def main() -> None:
    checker = Checker()
    checker.run()
    for problem in checker.problems:
        print(problem)
    if checker.problems:
        sys.exit(f"check_layers: {len(checker.problems)} includes break the layers (ARCHITECTURE.md, Modules)")
    print(f"check_layers: {checker.files} files of {len(checker.modules)} modules keep the layers")


if __name__ == "__main__":
    main()
