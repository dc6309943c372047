#!/usr/bin/env python3
"""Start, memory and rest of the daemon: exec until /readyz is 200, resident memory, wake-ups while idle.

    bench/api/idle.py --programs build/release/bin [--starts 15] [--members 5] [--seconds 60] [--within-limits]

Memory and wake-ups are measured of a daemon alone, without a model, and again with five connected members: six daemons on
this host, each with a home of its own, joined by invites over loopback. A wake-up is a voluntary context switch of any
thread. Prints one JSON line a measurement, then a Markdown table. With --within-limits it ends with 1 over a limit.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))
SETTLE_SECONDS = 5
LIMITS = {"resident MiB, alone": 20, "wake-ups a second, alone": 5, "wake-ups a second, joined": 5}
READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def is_ready(path: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(path))
            door.sendall(READY)
            return door.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def start_milliseconds(device, program: pathlib.Path) -> float:
    began = time.perf_counter()
    device.process = subprocess.Popen([str(program)], env=device.environment, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not is_ready(device.home / "plexus.sock"):
        if time.perf_counter() - began > 10:
            raise RuntimeError("the daemon is not ready")
        time.sleep(0.0002)
    return (time.perf_counter() - began) * 1e3


def status_of(folder: pathlib.Path) -> dict:
    return dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())


def resident_mebibytes(process: int) -> dict:
    """All of it, and what is this process's own."""
    whole = status_of(pathlib.Path(f"/proc/{process}"))
    rollup = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
    own = sum(int(rollup[kind].split()[0]) for kind in ("Private_Clean", "Private_Dirty"))
    return {"resident": int(whole["VmRSS"].split()[0]) / 1024, "own": own / 1024}


def wakeups(process: int) -> int:
    threads = pathlib.Path(f"/proc/{process}/task").iterdir()
    return sum(int(status_of(thread)["voluntary_ctxt_switches"]) for thread in threads)


def processor_milliseconds(process: int) -> float:
    threads = pathlib.Path(f"/proc/{process}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6


def rest(process: int, seconds: float) -> dict:
    time.sleep(SETTLE_SECONDS)
    before = wakeups(process), processor_milliseconds(process)
    time.sleep(seconds)
    return {"wakeups": (wakeups(process) - before[0]) / seconds,
            "processor_milliseconds": (processor_milliseconds(process) - before[1]) / seconds,
            **resident_mebibytes(process)}


def measure_starts(device, program: pathlib.Path, count: int) -> list:
    times = []
    for _ in range(count + 1):
        times.append(start_milliseconds(device, program))
        device.stop()
    return times


def join_all(first, others: list) -> None:
    first.start()
    for device in others:
        device.start()
        device.plexus("join", first.plexus("invite", "--no-wait").stdout.strip())
    deadline = time.monotonic() + 30
    while sum(each["state"] != "away" for each in first.json("device", "ls")) <= len(others):
        if time.monotonic() > deadline:
            raise RuntimeError("the members are not connected")
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--within-limits", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.programs).resolve()
    os.environ |= {"PLEXUS_PROGRAMS": str(folder), "PLEXUS_DEFAULT_MODEL": ""}
    import mesh_testing

    with mesh_testing.devices("one") as (device,):
        times = measure_starts(device, folder / "plexusd", arguments.starts)
        print(json.dumps({"first_start_ms": times[0], "later_starts_ms": times[1:]}), flush=True)
        device.start()
        alone = rest(device.process.pid, arguments.seconds)
        print(json.dumps({"alone": alone}), flush=True)
    names = [f"member{number}" for number in range(arguments.members + 1)]
    with mesh_testing.devices(*names) as made:
        join_all(made[0], made[1:])
        joined = rest(made[0].process.pid, arguments.seconds)
        print(json.dumps({"joined": joined, "load": os.getloadavg()[0]}), flush=True)

    rows = {"start to ready, ms: first of a new device": times[0], "start to ready, ms: later, median": statistics.median(times[1:])}
    for name, found in (("alone", alone), ("joined", joined)):
        rows |= {f"resident MiB, {name}": found["resident"], f"of that its own, {name}": found["own"],
                 f"wake-ups a second, {name}": found["wakeups"],
                 f"CPU ms a second, {name}": found["processor_milliseconds"]}
    print("\n| what | measured | limit |\n|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.2f} | {LIMITS.get(name, '')} |")
    over = [name for name, limit in LIMITS.items() if rows[name] > limit]
    return 1 if over and arguments.within_limits else 0


if __name__ == "__main__":
    sys.exit(main())
