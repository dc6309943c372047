"""A slow link for measuring: two network namespaces joined by plexus-wire. Needs the right to administer networks."""
import contextlib
import os
import subprocess
import sys
import typing

LEFT_OUT = 77  # what ctest takes for a test that was left out
LEFT_ADDRESS, RIGHT_ADDRESS = "10.77.0.1", "10.77.0.2"


class Link(typing.NamedTuple):
    left: str  # namespaces
    right: str
    process: subprocess.Popen  # plexus-wire; SIGUSR1 cuts, SIGUSR2 mends


def inside(name_space: str) -> list:
    return ["ip", "netns", "exec", name_space]


@contextlib.contextmanager
def link(program: str, *options: str):
    """Gives a Link; `options` go to plexus-wire."""
    if os.geteuid() != 0:
        print("network namespaces are made by root: left out")
        sys.exit(LEFT_OUT)
    spaces = [f"plexus-{os.getpid()}-{side}" for side in ("left", "right")]
    process = None
    made = []
    try:
        for space in spaces:
            subprocess.run(["ip", "netns", "add", space], check=True)
            made.append(space)
        process = subprocess.Popen([program, *spaces, *options], stdout=subprocess.PIPE, text=True)
        if process.stdout.readline() != "up\n":
            raise RuntimeError("plexus-wire did not come up")
        yield Link(*spaces, process)
    finally:
        if process is not None:
            process.terminate()
            process.wait(10)
        for space in made:
            subprocess.run(["ip", "netns", "del", space], check=True)


def round_trip_milliseconds(left: str) -> float:
    """Median of the link itself: TCP connects to a port that refuses take one round trip."""
    script = ("import socket, statistics, time\n"
              "times = []\n"
              "for _ in range(11):\n"
              "    start = time.perf_counter()\n"
              f"    socket.socket().connect_ex(('{RIGHT_ADDRESS}', 9))\n"
              "    times.append(time.perf_counter() - start)\n"
              "print(statistics.median(times) * 1000)")
    return float(subprocess.run([*inside(left), "python3", "-c", script], check=True, stdout=subprocess.PIPE, text=True).stdout)
