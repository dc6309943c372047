#!/usr/bin/env python3
"""Compiles every header of src/ alone, without the precompiled header: each includes what it needs.

    tools/check_headers.py [HEADER...]      all of src/ if none is named; a second run is answered by ccache
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "lint"
COMPILER = ["ccache", "clang++-19", "-std=c++23", "-O0", "-c", "-fPIE", "-Wall", "-Wextra", "-Werror",
            "-DBOOST_ASIO_SEPARATE_COMPILATION", "-DBOOST_ASIO_NO_DEPRECATED", "-DBOOST_ALLOW_DEPRECATED_HEADERS", '-DPLEXUS_VERSION="0"',
            f"-I{ROOT / 'src'}"]


def compile_alone(header: pathlib.Path) -> str:
    """Empty if the header compiles, else what the compiler said."""
    name = str(header.relative_to(ROOT / "src"))
    source = FOLDER / (name.replace("/", "__") + ".cpp")
    text = f'#include "{name}"\n'
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    done = subprocess.run([*COMPILER, str(source), "-o", str(source.with_suffix(".o"))], capture_output=True, text=True,
                          cwd=ROOT)
    return "" if done.returncode == 0 else f"src/{name} does not compile alone:\n{done.stderr}"


def main() -> None:
    named = [pathlib.Path(name).resolve() for name in sys.argv[1:]]
    headers = named or sorted((ROOT / "src").glob("*/*.h"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [text for text in pool.map(compile_alone, headers) if text]
    for text in problems:
        print(text)
    if problems:
        sys.exit(f"check_headers: {len(problems)} of {len(headers)} headers need another one before them")
    print(f"check_headers: {len(headers)} headers compile alone")


if __name__ == "__main__":
    main()
